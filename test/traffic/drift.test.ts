/** Sluice repairs rules that another program removes. */
import { expect, test } from "bun:test";
import { FAMILIES, type Family } from "../../harness/netns/addresses.ts";
import { iptables, type Variant, variantOf } from "../../harness/netns/backends.ts";
import { answers, connect, connectOnce } from "../../harness/netns/connections.ts";
import { frontend } from "../../harness/netns/frontends.ts";
import { DEFAULT_FLAGS } from "../../harness/netns/program.ts";
import type { ConnectOptions } from "../../harness/netns/world.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { chainOf, natRules, targetOf } from "./saved-chains.ts";
import { describeBackends, Fixture } from "./traffic-fixture.ts";

const SERVED = /^(a1|b1)$/;

const NFT: readonly string[] = [
  "flush ruleset",
  "delete table inet sluice",
  "flush map inet sluice frontends4; flush map inet sluice frontends6",
  "flush map inet sluice endpoints4; flush map inet sluice endpoints6",
  "flush chain inet sluice services4; flush chain inet sluice services6",
  "insert rule inet sluice services4 drop; insert rule inet sluice services6 drop",
  "flush map inet sluice choices4; flush map inet sluice choices6",
  "add table inet sluice { flags dormant; }",
  "flush ruleset; add table inet firewalld; add chain inet firewalld input { type filter hook input priority 10; }",
];

/** `-X` deletes only chains that no rule jumps to, so the commands flush the chains first. */
const IPTABLES: readonly string[] = [
  "-t nat -F",
  "-t filter -F",
  "-t nat -F; -t nat -X; -t filter -F; -t filter -X; -t mangle -F; -t mangle -X",
  "-t mangle -F; -t mangle -X",
  "-t nat -F KUBE-SERVICES",
  "-t nat -I KUBE-SERVICES -j RETURN",
  "-t nat -D PREROUTING 1",
  "-t filter -D FORWARD 1; -t filter -D INPUT 1",
  "-t nat -F KUBE-POSTROUTING; -t nat -F KUBE-MARK-MASQ",
  "-t nat -F KUBE-SEP-HAIRPIN",
  "-t nat -D KUBE-SEP-HAIRPIN 1",
];

describeBackends((backend) => {
  const variant = variantOf(backend);
  // iptables announces no changes, so Sluice polls the tables this often.
  const flags =
    variant === undefined ? DEFAULT_FLAGS : [...DEFAULT_FLAGS, "--iptables-sync-period=1s"];
  const fixture = new Fixture({ backend, flags });

  /** Runs an `nft` command, or an `iptables` command for both families. */
  async function harm(command: string): Promise<void> {
    const { world } = fixture;
    if (variant === undefined) {
      await world.run("node1", ["nft", command]);
      return;
    }
    const harmFamily = async (family: Family) => {
      for (const each of command.split("; ")) {
        await iptables(world, variant, family, ...each.split(" "));
      }
    };
    await Promise.all(FAMILIES.map(harmFamily));
  }

  test.each(variant === undefined ? NFT : IPTABLES)("%s", async (command) => {
    const made = await fixture.given({ type: "LoadBalancer" }, ["a1", "b1"]);
    if (variant !== undefined) await fixture.program.untilAtRest();
    const held = async () => (await fixture.rules()).split("\n").sort();
    const before = await held();
    await harm(command);
    const began = performance.now();
    for (const family of FAMILIES) {
      for (const to of ["clusterIP", "vip", "node port"] as const) {
        const target = made.reach(family, to, "outside");
        const name = () => connectOnce(fixture.world, target);
        expect(await pollUntil(name, (each) => SERVED.test(each))).toMatch(SERVED);
        expect(await answers(fixture.world, target)).toEqual(["a1", "b1"]);
      }
    }
    if (variant === undefined) return;
    // Most connections work without some of the rules.
    const same = (rules: string[]) => Bun.deepEquals(rules, before);
    expect(await pollUntil(held, same)).toEqual(before);
    const elapsed = performance.now() - began;
    console.log(`${backend}: repaired ${elapsed.toFixed(0)} ms after ${command}`);
  });

  test("a pod reaches itself after its rules were removed", async () => {
    const made = await fixture.given({}, [{ at: "a1", nodeName: "absent" }]);
    if (variant !== undefined) await fixture.program.untilAtRest();
    await harm(
      variant === undefined
        ? "flush chain inet sluice hairpin4; flush chain inet sluice hairpin6"
        : "-t nat -F KUBE-SEP-HAIRPIN",
    );
    for (const family of FAMILIES) {
      const name = () => connectOnce(fixture.world, made.reach(family, "clusterIP", "a1"));
      expect(await pollUntil(name, (each) => each === "a1")).toBe("a1");
    }
  });

  test.each(variant === undefined ? ["element"] : ["rule", "chain"])(
    "a removed %s is repaired",
    async (what) => {
      const made = await fixture.given({}, ["a1", "b1"]);
      const target = made.reach(4, "clusterIP", "outside");
      const { address } = frontend(target.to, target.number, 4);
      if (variant === undefined) {
        await harm(`delete element inet sluice frontends4 { ${address} . tcp . 80 }`);
      } else {
        await fixture.program.untilAtRest();
        await removeRules(variant, address, what === "chain");
      }
      const name = () => connectOnce(fixture.world, target);
      expect(await pollUntil(name, (each) => SERVED.test(each))).toMatch(SERVED);
    },
  );

  /** Deletes the rules that jump to a frontend's chain and, `withChain`, the chain. */
  async function removeRules(variant: Variant, address: string, withChain: boolean) {
    const { world } = fixture;
    const rules = await natRules(world, variant, 4);
    const chain = chainOf(rules, "tcp", 80, address) ?? "";
    for (const [from, list] of rules) {
      for (const rule of list.filter((each) => targetOf(each) === chain)) {
        const words = [...rule.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word);
        await iptables(world, variant, 4, "-t", "nat", "-D", from, ...words);
      }
    }
    if (!withChain) return;
    for (const verb of ["-F", "-X"]) await iptables(world, variant, 4, "-t", "nat", verb, chain);
  }

  test.each(FAMILIES)(
    "connections that begin while rules are missing succeed after the repair (IPv%p)",
    async (family) => {
      const ports = [
        { name: "web", port: 80, target: 8080 },
        { name: "dns", port: 53, target: 8080, protocol: "UDP" },
      ] as const;
      const made = await fixture.given({ type: "LoadBalancer", ports }, ["a1", "b1"]);
      const target = made.reach(family, "vip", "outside");
      const begin = (options: ConnectOptions, port: number) =>
        connect(fixture.world, { ...target, port }, { ...options, timeoutMs: 100 });
      await fixture.program.untilAtRest();
      process.kill(fixture.program.pid, "SIGSTOP");
      try {
        // The hooks remain, so the kernel decides once and for all not to translate these.
        await harm(
          variant === undefined
            ? "flush chain inet sluice services4; flush chain inet sluice services6"
            : "-t nat -F KUBE-SERVICES",
        );
        const source = 21_000 + family;
        expect((await begin({ transport: "udp", sourcePort: source }, 53)).outcome).not.toBe(
          "answered",
        );
        // The kernel repeats the SYN. Its unanswered entry would block the connection for minutes.
        const patient = connect(fixture.world, { ...target, port: 80 }, { timeoutMs: 20_000 });
        await pollUntil(
          () => fixture.world.run("node1", ["conntrack", "-L", "-p", "tcp", "--state", "SYN_SENT"]),
          (text) => text.includes("[UNREPLIED]"),
        );
        process.kill(fixture.program.pid, "SIGCONT");
        expect((await patient).outcome).toBe("answered");
        const again = () => begin({ transport: "udp", sourcePort: source }, 53);
        const { outcome } = await pollUntil(again, (reply) => reply.outcome === "answered");
        expect(outcome).toBe("answered");
      } finally {
        process.kill(fixture.program.pid, "SIGCONT");
      }
    },
  );
});
