/** Foreign rules in the tables that hold the rules of Services. */
import { describe, expect, test } from "bun:test";
import { BINARY } from "../../harness/binary.ts";
import { runAsync } from "../../harness/commands.ts";
import { addressOf, FAMILIES, type Family } from "../../harness/netns/addresses.ts";
import {
  iptables,
  lockOf,
  savedRules,
  VARIANTS,
  type Variant,
} from "../../harness/netns/backends.ts";
import { answers, connectOnce, outcome, type Target } from "../../harness/netns/connections.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import { service, slices } from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { Fixture } from "./traffic-fixture.ts";

const FLAGS = [...DEFAULT_FLAGS, "--iptables-sync-period=1s"];
const SERVED = /^(a1|b1)$/;
/** Unused addresses, so that the counters of these rules do not change. */
const NOBODY = { 4: "203.0.113.99", 6: "2001:db8:99::99" } as const;

/** Foreign chains and rules. Rewriting them would reset their counters. */
function foreignRules(family: Family): string {
  const nobody = NOBODY[family];
  const rules = [
    `[7:777] -A SOMEBODY -s ${nobody} -m comment --comment "what \\"they\\" want, KUBE and all" -j ACCEPT`,
    `[8:888] -A SOMEBODY -d ${nobody} -j RETURN`,
  ];
  const table = (name: string, chain: string) => [
    `*${name}`,
    ":SOMEBODY - [0:0]",
    ...rules,
    `[9:999] -A ${chain} -s ${nobody} -j SOMEBODY`,
    "COMMIT",
  ];
  const tables = [
    table("nat", "POSTROUTING"),
    table("filter", "FORWARD"),
    table("mangle", "INPUT"),
  ];
  return `${tables.flat().join("\n")}\n`;
}

async function addForeign(world: World, variant: Variant): Promise<void> {
  for (const family of FAMILIES) {
    const tool = `${family === 4 ? "iptables" : "ip6tables"}-${variant}-restore`;
    const command = ["env", `XTABLES_LOCKFILE=${lockOf(world)}`, tool, "--noflush", "--counters"];
    await runAsync(world.inside("node1", command), foreignRules(family));
  }
}

/** The foreign lines of iptables-save, with counters of rules, but not of built-in chains. */
async function foreignLines(world: World, variant: Variant): Promise<string> {
  const texts: string[] = [];
  for (const family of FAMILIES) {
    const text = await savedRules(world, variant, family, { counters: true });
    texts.push(
      text
        .split("\n")
        .filter((line) => !/^:KUBE-|-A KUBE-|-j KUBE-/.test(line))
        .map((line) => line.replace(/^(:\S+ (?:ACCEPT|DROP)) .*/, "$1"))
        .join("\n"),
    );
  }
  return texts.join("\n");
}

describe.each([...VARIANTS])("iptables-%s", (variant: Variant) => {
  const backend = `iptables-${variant}` as const;
  const fixture = new Fixture({ backend, flags: FLAGS });

  test("foreign rules survive a start, changes, a repair, a restart and a cleanup", async () => {
    const world = await World.build();
    try {
      await addForeign(world, variant);
      const before = await foreignLines(world, variant);
      expect(before).toContain("[7:777] -A SOMEBODY");
      const unchanged = async (): Promise<void> =>
        expect(await foreignLines(world, variant)).toBe(before);
      const program = new SluiceProcess(world, { backend });
      program.put([
        service({ name: "web", number: 1, type: "LoadBalancer" }),
        ...slices("web", ["a1", "b1"]),
      ]);
      await program.start(FLAGS);
      await unchanged();
      program.put([service({ name: "more", number: 2 }), ...slices("more", ["a1"])]);
      program.put(slices("web", ["a1"]));
      await program.untilSettled();
      program.remove([service({ name: "more", number: 2 })]);
      program.put(slices("web", ["a1", "b1"]));
      await program.untilSettled();
      await unchanged();
      for (const family of FAMILIES) {
        await program.untilAtRest();
        await iptables(world, variant, family, "-t", "nat", "-F", "KUBE-SERVICES");
        const target: Target = { from: "outside", to: "vip", number: 1, family };
        expect(
          await pollUntil(
            () => connectOnce(world, target),
            (name) => SERVED.test(name),
          ),
        ).toMatch(SERVED);
      }
      await unchanged();
      await program.stop();
      await program.start(FLAGS);
      await unchanged();
      await program.stop();
      await runAsync(program.commandOnNode([BINARY, "--cleanup"]));
      await unchanged();
      for (const family of FAMILIES) {
        expect(await savedRules(world, variant, family)).not.toContain("-j KUBE-");
      }
    } finally {
      await world.close();
    }
  });

  test("a foreign jump in front of ours stays there, and Services work", async () => {
    const { world } = fixture;
    const made = await fixture.given({ type: "LoadBalancer" }, ["a1", "b1"]);
    const first = async (family: Family) =>
      /^-A PREROUTING .*$/m.exec(await savedRules(world, variant, family, { table: "nat" }))?.[0];
    for (const family of FAMILIES) {
      await fixture.program.untilAtRest();
      await iptables(world, variant, family, "-t", "nat", "-N", "BEFORE");
      await iptables(world, variant, family, "-t", "nat", "-I", "PREROUTING", "-j", "BEFORE");
      // A repair compares everything.
      await iptables(world, variant, family, "-t", "nat", "-F", "KUBE-SERVICES");
      const target = made.reach(family, "vip", "outside");
      expect(
        await pollUntil(
          () => connectOnce(world, target),
          (name) => SERVED.test(name),
        ),
      ).toMatch(SERVED);
      expect(await answers(world, target)).toEqual(["a1", "b1"]);
      expect(await first(family)).toBe("-A PREROUTING -j BEFORE");
    }
  });

  describe.each(FAMILIES)("a firewall with policy DROP (IPv%i)", (family) => {
    const rule = (...args: string[]) => iptables(fixture.world, variant, family, ...args);

    /** Runs `act` while the policy of a chain is DROP. */
    async function whileDropping(
      chain: "INPUT" | "FORWARD",
      act: () => Promise<void>,
    ): Promise<void> {
      await rule("-P", chain, "DROP");
      try {
        await act();
      } finally {
        await rule("-P", chain, "ACCEPT");
      }
    }

    test("lets only masqueraded connections to Services pass", async () => {
      const { world } = fixture;
      const made = await fixture.given({ type: "LoadBalancer" }, ["a1", "b1"]);
      await whileDropping("FORWARD", async () => {
        for (const to of ["vip", "node port", "clusterIP"] as const) {
          expect(await answers(world, made.reach(family, to, "outside"))).toEqual(["a1", "b1"]);
        }
        expect(await outcome(world, made.reach(family, "clusterIP", "a3"))).toBe("timeout");
        const { outcome: direct } = await world.connect("outside", addressOf("a1", family), 8080, {
          timeoutMs: 250,
        });
        expect(direct).toBe("timeout");
      });
    });

    test("lets probes of healthCheckNodePorts pass", async () => {
      const { world } = fixture;
      const port = 32_000 + family;
      await fixture.given(
        { type: "LoadBalancer", externalPolicy: "Local", healthCheckNodePort: port },
        ["a1"],
      );
      await rule("-I", "INPUT", "-i", "lo", "-j", "ACCEPT");
      if (family === 6) await rule("-I", "INPUT", "-p", "icmpv6", "-j", "ACCEPT");
      const ask = async (at: number) => {
        const timeoutMs = 250;
        const request = "GET / HTTP/1.0\r\n\r\n";
        const address = addressOf("node1", family);
        const namespace = world.namespace("outside");
        const transport = "tcp";
        const asked = { namespace, address, port: at, transport, request, timeoutMs } as const;
        return (await world.switchboard.connect(asked)).outcome;
      };
      expect(
        await pollUntil(
          () => ask(port),
          (each) => each === "answered",
        ),
      ).toBe("answered");
      await whileDropping("INPUT", async () => {
        expect(await ask(port)).toBe("answered");
        expect(await ask(8080)).toBe("timeout");
      });
    });
  });
});
