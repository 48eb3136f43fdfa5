/**
 * The program takes over from a stopped kube-proxy. Its rules serve until ours do, and are then
 * removed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { BINARY } from "../../harness/binary.ts";
import { runAsync } from "../../harness/commands.ts";
import { CLUSTER_CIDR, FAMILIES } from "../../harness/netns/addresses.ts";
import { answers, connect, finishHeld, useLongTimeout } from "../../harness/netns/connections.ts";
import { keepConnecting } from "../../harness/netns/keep-connecting.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import { service, slices } from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { PODS, putRules, TARGETS, toolOf } from "./stopped-kube-proxy.ts";

useLongTimeout();

let world: World;
let program: SluiceProcess;

beforeAll(async () => {
  world = await World.build({ prefix: "sl-takeover" });
  program = new SluiceProcess(world);
  program.put([service({ name: "web", number: 1, type: "NodePort" }), ...slices("web", PODS)]);
});
afterAll(() => world?.close());

/** Adds kube-proxy's rules to node1. The result lists the remaining ones. */
async function leaveRules(mode: string): Promise<() => Promise<string>> {
  await putRules(world, mode);
  const tools =
    mode === "nftables" ? ["nft"] : FAMILIES.map((family) => `${toolOf(mode, family)}-save`);
  return async () => {
    const list = (tool: string) =>
      world.run("node1", tool === "nft" ? [tool, "list", "tables"] : [tool]);
    const texts = await Promise.all(tools.map(list));
    return texts.flatMap((text) => text.match(/.*(kube-proxy|KUBE-).*/g) ?? []).join("\n");
  };
}

/**
 * kube-proxy's rules accept the first packet of a connection by its mark, and all others by the
 * connection.
 */
const FORWARDED = TARGETS.filter(({ from }) => from === "outside");

describe.each(["iptables-nft", "iptables-legacy"])("where FORWARD of %s drops", (mode) => {
  const policy = async (verdict: "DROP" | "ACCEPT") => {
    for (const family of FAMILIES) {
      const tool = toolOf(mode, family);
      const change = verdict === "DROP" ? "-A" : "-D";
      await world.run("node1", [tool, "-P", "FORWARD", verdict]);
      // As network plugins do.
      const pods = ["-s", CLUSTER_CIDR[family], "-j", "ACCEPT"];
      await world.run("node1", [tool, change, "FORWARD", ...pods]);
    }
  };

  test("open connections continue, and new ones are accepted; the accepting chain is removed with the policy", async () => {
    const left = await leaveRules(mode);
    const chains = async () => [...new Set((await left()).match(/^:KUBE-\S+/gm))].join();
    await policy("DROP");
    const open = await Promise.all(
      FORWARDED.map((target) => connect(world, target, { hold: true })),
    );
    const traffic = keepConnecting(world, FORWARDED);
    try {
      await program.start(DEFAULT_FLAGS);
      expect(await pollUntil(chains, (names) => names === ":KUBE-FORWARD")).toBe(":KUBE-FORWARD");
      await traffic.waitForMore();
    } finally {
      expect(await traffic.stop()).toEqual([]);
    }
    expect(await finishHeld(world, open)).toEqual(open.map(() => "answered"));
    expect(await chains()).toBe(":KUBE-FORWARD");
    expect(program.log()).toContain(
      `still accepts forwarded packets of Services, but a reboot removes it; add rules that accept them: ${mode.replace("-nft", "")} -A FORWARD`,
    );
    const { body } = await program.get("/sluice/v1/problems");
    expect(body).not.toContain("OTHER_PROXY");
    await program.stop();
    await policy("ACCEPT");
    await program.start(DEFAULT_FLAGS);
    expect(await pollUntil(left, (text) => text === "")).toBe("");
    await program.stop();
    await runAsync(world.inside("node1", [BINARY, "--cleanup"]));
  });
});

describe.each(["nftables", "iptables-nft", "iptables-legacy"])(
  "after kube-proxy in mode %s",
  (mode) => {
    test("no connection fails with its rules, with both, and after their removal", async () => {
      const left = await leaveRules(mode);
      expect(await left()).not.toBe("");
      for (const target of TARGETS) expect(await answers(world, target)).toEqual([...PODS]);
      const traffic = keepConnecting(world, TARGETS);
      try {
        await traffic.waitForMore();
        await program.start(DEFAULT_FLAGS);
        expect(await pollUntil(left, (text) => text === "")).toBe("");
        await traffic.waitForMore();
      } finally {
        expect(await traffic.stop()).toEqual([]);
      }
      for (const target of TARGETS) expect(await answers(world, target)).toEqual([...PODS]);
      expect(program.log()).toContain("] Removed leftover rules");
      // The removal needs no attention.
      expect(program.log()).not.toMatch(/^W.*Sluice removes them after its first sync/m);
      await program.stop();
      const output = await runAsync(world.inside("node1", [BINARY, "--cleanup"]));
      expect(output).toBe("Removed table inet sluice\n");
    });

    test("a program that is configured to keep them does so, and so does --cleanup", async () => {
      const keep = "--remove-kube-proxy-rules=false";
      const left = await leaveRules(mode);
      const before = await left();
      await program.start([...DEFAULT_FLAGS, keep]);
      await pollUntil(
        async () => program.log(),
        (text) => text.includes("Sluice keeps them, because removeKubeProxyRules is false"),
      );
      await program.stop();
      const output = await runAsync(world.inside("node1", [BINARY, "--cleanup", keep]));
      expect(output).toBe("Removed table inet sluice\n");
      expect(await left()).toBe(before);
      for (const target of TARGETS) expect(await answers(world, target)).toEqual([...PODS]);
      await runAsync(world.inside("node1", [BINARY, "--cleanup"]));
    });

    test("--cleanup removes the rules of both, and prints a line for each", async () => {
      const left = await leaveRules(mode);
      const output = await runAsync(world.inside("node1", [BINARY, "--cleanup"]));
      expect(output).toMatch(/^(Removed .*\n)+$/);
      expect(await left()).toBe("");
      const again = await runAsync(world.inside("node1", [BINARY, "--cleanup"]));
      expect(again).toBe("Nothing to remove\n");
    });
  },
);
