import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { readableLog } from "../../harness/fakes/readable-log.ts";
import type { OwnRules } from "../../src/backend/capabilities.ts";
import { CONFLICT_POLL_MS } from "../../src/base/limits.ts";
import { waitForConflictingKubeProxy } from "../../src/takeover/conflicting-kube-proxy.ts";
import type { KubeProxyProcesses } from "../../src/takeover/kube-proxy-processes.ts";

const IPTABLES: OwnRules = { form: "iptables", sharesKubeProxyChains: true };
const NFTABLES: OwnRules = { form: "nftables", sharesKubeProxyChains: false };

/** A node with a kube-proxy, and the result of the wait for it. */
function begin(options: { own?: OwnRules; pids?: number[]; nftables?: boolean } = {}) {
  const clock = new FakeClock();
  const { log, lines } = readableLog(0);
  const node = {
    running: { pids: options.pids ?? [12], all: true } as KubeProxyProcesses,
    over: false,
  };
  const wait = waitForConflictingKubeProxy({
    clock,
    log,
    own: options.own ?? IPTABLES,
    findProcesses: async () => node.running,
    usesNftables: async () => options.nftables ?? false,
  });
  void wait.gone.then(() => {
    node.over = true;
  });
  return { clock, lines, node, wait };
}

describe("a running kube-proxy", () => {
  test("that writes our chains is waited for; its start and its end are logged once", async () => {
    const { clock, lines, node, wait } = begin();
    expect(await wait.noConflict).toBe(false);
    await clock.advance(10 * CONFLICT_POLL_MS);
    expect(node.over).toBe(false);
    expect(lines).toEqual([
      "W Waiting for kube-proxy (pid 12) to exit: it writes the same chains, and its rules serve until then (stop it)",
    ]);
    node.running = { pids: [13], all: true };
    await clock.advance(CONFLICT_POLL_MS);
    expect(lines).toHaveLength(2);
    node.running = { pids: [], all: true };
    await clock.advance(CONFLICT_POLL_MS);
    expect(node.over).toBe(true);
    expect(lines.at(-1)).toBe("I kube-proxy exited; adopting its chains");
  });

  test.each([
    ["is in nftables mode", { nftables: true }],
    ["is not there", { pids: [] }],
    ["meets our nftables mode", { own: NFTABLES }],
  ])("causes no wait if it %s", async (_why, options) => {
    const { clock, lines, node, wait } = begin(options);
    expect(await wait.noConflict).toBe(true);
    await wait.gone;
    expect([node.over, lines, clock.waiting]).toEqual([true, [], 0]);
  });

  test("is no longer waited for after a stop", async () => {
    const { clock, node, wait } = begin();
    await wait.noConflict;
    await clock.advance(CONFLICT_POLL_MS);
    wait.stop();
    node.running = { pids: [], all: true };
    await clock.advance(CONFLICT_POLL_MS);
    expect([node.over, clock.waiting]).toEqual([false, 0]);
  });
});
