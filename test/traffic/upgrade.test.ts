/**
 * Another version of Sluice left its rules, and the program replaces them under traffic.
 *
 * With nftables, the table has another layout. By default, the test makes that table itself. To use
 * the table of a real version, set SLUICE_PREVIOUS_BINARY to its binary. iptables has no layout.
 * Its chains are compared rule by rule, so only a real version makes a difference.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { renameSync } from "node:fs";
import { BINARY, PREVIOUS_BINARY } from "../../harness/binary.ts";
import { runAsync } from "../../harness/commands.ts";
import { FAMILIES, type Pod } from "../../harness/netns/addresses.ts";
import { BACKENDS, type Backend } from "../../harness/netns/backends.ts";
import { connect, finishHeld, nameOf, useLongTimeout } from "../../harness/netns/connections.ts";
import { type ConnectTarget, keepConnecting } from "../../harness/netns/keep-connecting.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import { service, slices } from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";

useLongTimeout();

const PODS: readonly Pod[] = ["a1", "a2", "b1"];
const WEB = 1;
const LOCAL = 2;
const STICKY = 3;
const DNS = 4;
const UPGRADES = PREVIOUS_BINARY === undefined ? 3 : 20;
/** The number of failed connections in an error message. */
const SHOWN = 20;
const TESTED: readonly Backend[] = PREVIOUS_BINARY === undefined ? ["nftables"] : BACKENDS;
/** How the log begins to tell what the program found in the kernel. */
const FOUND: Readonly<Record<Backend, string>> = {
  nftables: "Replacing table inet sluice",
  "iptables-nft": "Adopted chains of iptables-nft",
  "iptables-legacy": "Adopted chains of iptables-legacy",
};

const CALLS: readonly ConnectTarget[] = FAMILIES.flatMap((family) => [
  { from: "a3", to: "clusterIP", number: WEB, family },
  { from: "node1", to: "clusterIP", number: WEB, family },
  { from: "outside", to: "vip", number: WEB, family },
  { from: "outside", to: "node port", number: WEB, family },
  { from: "outside", to: "node port", number: LOCAL, family },
  { from: "a3", to: "clusterIP", number: STICKY, family },
  { from: "a3", to: "clusterIP", number: DNS, family, port: 53, transport: "udp" },
  { from: "outside", to: "node port", number: DNS, family, transport: "udp" },
]);

describe.each(TESTED)("%s of another version", (backend) => {
  let world: World;
  let program: SluiceProcess;

  beforeAll(async () => {
    world = await World.build({ prefix: "sl-upgrade" });
    program = new SluiceProcess(world, { backend });
    const dns = [{ port: 53, target: 8080, protocol: "UDP" }] as const;
    program.put([
      service({ name: "web", number: WEB, type: "LoadBalancer" }),
      ...slices("web", PODS),
      service({ name: "local", number: LOCAL, type: "NodePort", externalPolicy: "Local" }),
      ...slices("local", ["a1", "b1"]),
      service({ name: "sticky", number: STICKY, affinitySeconds: 600 }),
      ...slices("sticky", PODS),
      service({ name: "dns", number: DNS, type: "NodePort", ports: dns }),
      ...slices("dns", PODS, { ports: dns }),
    ]);
  });
  afterAll(() => world?.close());
  afterEach(async () => {
    await program.stop();
    await runAsync(program.commandOnNode([BINARY, "--cleanup"]));
  });

  /** The other version runs, and leaves its rules. */
  async function leaveOlderRules(): Promise<void> {
    await program.start(undefined, PREVIOUS_BINARY);
    await program.stop();
    if (PREVIOUS_BINARY !== undefined) return;
    const child = `${import.meta.dir}/children/leave-older-table.ts`;
    await world.run("node1", [process.execPath, child, ...DEFAULT_FLAGS]);
  }

  /** Starts the program and waits until it has looked at the rules. */
  async function startOnOlderRules(): Promise<void> {
    const decisions = () => program.log().split(FOUND[backend]).length - 1;
    const before = decisions();
    program.spawn();
    expect(
      await pollUntil(
        async () => decisions(),
        (count) => count > before,
      ),
    ).toBe(before + 1);
  }

  async function ask(handle: number): Promise<string> {
    return nameOf(await world.switchboard.ask(handle));
  }

  test("serves until the source has answered, even if the program dies before", async () => {
    await leaveOlderRules();
    program.write();
    const away = `${program.manifests}-away`;
    renameSync(program.manifests, away);
    const traffic = keepConnecting(world, CALLS);
    try {
      for (const signal of ["SIGKILL", "SIGTERM"] as const) {
        await startOnOlderRules();
        await traffic.waitForMore();
        await program.stop(signal);
        await traffic.waitForMore();
      }
      await startOnOlderRules();
      await traffic.waitForMore();
      renameSync(away, program.manifests);
      await program.untilInForce();
      await traffic.waitForMore();
    } finally {
      expect((await traffic.stop()).slice(0, SHOWN)).toEqual([]);
    }
  });

  test.each(Array.from({ length: UPGRADES }, (_, index) => index + 1))(
    "is replaced without a lost connection (upgrade %i)",
    async () => {
      await leaveOlderRules();
      const held = await Promise.all(
        CALLS.map((call) =>
          connect(world, call, { transport: call.transport ?? "tcp", hold: true }),
        ),
      );
      const endpoints = held.map((reply) => nameOf(reply));
      const traffic = keepConnecting(world, CALLS);
      try {
        await traffic.waitForMore();
        program.write();
        await startOnOlderRules();
        await program.untilInForce();
        await traffic.waitForMore();
      } finally {
        expect((await traffic.stop()).slice(0, SHOWN)).toEqual([]);
      }
      for (const [index, { handle }] of held.entries()) {
        expect(await ask(handle)).toBe(endpoints[index] as string);
      }
      await finishHeld(world, held);
    },
  );
});
