import { beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { slice } from "../../harness/sync/sync-world.ts";
import { clearTables, type IptablesWorld, iptablesWorld, VARIANTS } from "./iptables-world.ts";

setDefaultTimeout(60_000);
useFreshNetns();
beforeEach(clearTables);

const everything = (world: IptablesWorld) =>
  ["nat", "filter", "mangle"].map((table) => world.saved(table)).join("");

/** A foreign change, and the drift that is found. */
const DRIFTS: readonly (readonly [string, (world: IptablesWorld) => void, object])[] = [
  [
    "a rule deleted",
    ({ iptables }) => iptables("-t", "nat", "-D", "KUBE-SERVICES", "1"),
    { chain: 1 },
  ],
  [
    "a rule in place of another one",
    (world) => {
      const rule =
        world.saved("nat").match(/^-A KUBE-SERVICES (-d 10\.96\.0\.1\S* .*)$/m)?.[1] ?? "";
      const count = world
        .saved("nat")
        .match(/^-A KUBE-SERVICES .*$/gm)
        ?.findIndex((one) => one.endsWith(rule));
      const words = rule
        .replace("10.96.0.1", "10.96.0.99")
        .replace(/-m comment --comment "[^"]*" /, "");
      world.iptables(
        "-t",
        "nat",
        "-R",
        "KUBE-SERVICES",
        String((count ?? 0) + 1),
        ...words.split(" "),
      );
    },
    { chain: 1 },
  ],
  ["a rule added", ({ iptables }) => iptables("-A", "KUBE-FORWARD", "-j", "DROP"), { chain: 1 }],
  ["a chain flushed", ({ iptables }) => iptables("-t", "nat", "-F", "KUBE-SERVICES"), { chain: 1 }],
  [
    "a jump deleted",
    (world) => {
      const [jump = ""] = world.saved("nat").match(/PREROUTING .*-j KUBE-SERVICES/) ?? [];
      world.iptables("-t", "nat", "-D", "PREROUTING", "1");
      expect(world.saved("nat")).not.toContain(jump);
    },
    { chain: 1 },
  ],
  [
    "a jump twice",
    ({ iptables }) =>
      iptables(
        ...["-t", "nat", "-A", "PREROUTING", "-m", "comment", "--comment"],
        ...["kubernetes service portals", "-j", "KUBE-SERVICES"],
      ),
    { chain: 1 },
  ],
  [
    "the table nat flushed",
    ({ iptables }) => {
      iptables("-t", "nat", "-F");
      iptables("-t", "nat", "-X");
    },
    { table: 1 },
  ],
  [
    "everything flushed",
    ({ iptables }) => {
      for (const table of ["nat", "filter", "mangle"]) {
        iptables("-t", table, "-F");
        iptables("-t", table, "-X");
      }
    },
    { table: 2, chain: 1 },
  ],
  [
    "the canary in mangle deleted",
    ({ iptables }) => iptables("-t", "mangle", "-X", "KUBE-PROXY-CANARY"),
    { chain: 1 },
  ],
];

describe.each(VARIANTS)("through iptables-%s", (variant) => {
  test.each(DRIFTS)(
    "%s is detected and repaired by one iptables-restore",
    async (_, change, driftedCounts) => {
      const world = await iptablesWorld(variant);
      const before = everything(world);
      change(world);
      expect(everything(world)).not.toBe(before);
      world.fakeTools.runs();
      const repair = await world.repair();
      expect(repair).toMatchObject({ driftedCounts });
      const restores = world.fakeTools.runs().filter((name) => name.endsWith("-restore"));
      expect(restores.length).toBeLessThanOrEqual(2);
      expect(sorted(everything(world))).toEqual(sorted(before));
      expect(await world.repair()).toBeUndefined();
    },
  );

  test("the same for IPv6", async () => {
    const world = await iptablesWorld(variant);
    const before = world.saved("nat", "ip6tables");
    run(`ip6tables-${variant}`, "-t", "nat", "-F", "KUBE-SERVICES");
    expect(await world.repair()).toMatchObject({ driftedCounts: { chain: 1 } });
    expect(world.saved("nat", "ip6tables")).toBe(before);
  });

  test("the same change is repaired each time", async () => {
    const world = await iptablesWorld(variant);
    const before = everything(world);
    for (let i = 0; i < 2; i++) {
      world.iptables("-t", "nat", "-D", "KUBE-SERVICES", "1");
      expect(await world.repair()).toMatchObject({ driftedCounts: { chain: 1 } });
      expect(everything(world)).toBe(before);
    }
  });

  test("a change that needs a chain deleted by another program repairs everything first", async () => {
    const world = await iptablesWorld(variant);
    world.iptables("-t", "nat", "-F");
    world.iptables("-t", "nat", "-X");
    // The rule of its clusterIP is new, and leads to chains with deleted neighbors.
    world.put("EndpointSlice", slice("idle-1", "idle", ["10.244.1.7"]));
    expect(await world.sync()).toBe(true);
    expect(world.reports.at(-1)?.repair).toMatchObject({ driftedCounts: { table: 1 } });
    expect(world.saved("nat")).toContain("10.244.1.7:8080");
    expect(world.saved("nat")).toContain("10.244.1.2:8080");
    expect(await world.repair()).toBeUndefined();
  });

  test("foreign rules stay identical, including their counters", async () => {
    const foreign = () =>
      ["nat", "filter", "mangle", "raw"]
        .map((table) => run(`iptables-${variant}-save`, "-c", "-t", table))
        .join("")
        .split("\n")
        .filter(
          (line) => !line.startsWith("#") && !line.includes(":KUBE-") && !line.includes("-j KUBE-"),
        )
        .filter((line) => !/-A KUBE-(?!ROUTER-)/.test(line))
        // A policy's counters restart with any use of the legacy tools on its table, even -N alone.
        .map((line) =>
          line.startsWith(":") && variant === "legacy" ? line.replace(/ \[.*/, "") : line,
        )
        .join("\n");
    const rules = [
      ["-N", "ADMIN"],
      ["-t", "nat", "-N", "KUBE-ROUTER-X"],
      ["-t", "nat", "-A", "KUBE-ROUTER-X", "-j", "RETURN"],
      ["-A", "INPUT", "-m", "comment", "--comment", "kubernetes looks like this", "-j", "ADMIN"],
      ["-A", "ADMIN", "-i", "lo", "-j", "RETURN"],
      ["-P", "FORWARD", "DROP"],
      ["-t", "nat", "-A", "OUTPUT", "-d", "192.0.2.1", "-j", "ACCEPT"],
      ["-t", "mangle", "-A", "OUTPUT", "-d", "192.0.2.1", "-j", "MARK", "--set-mark", "0x4000"],
      ["-t", "raw", "-A", "PREROUTING", "-j", "ACCEPT"],
    ];
    for (const rule of rules) run(`iptables-${variant}`, ...rule);
    run("bash", "-c", "echo > /dev/udp/127.0.0.1/9");
    const before = foreign();
    expect(before).toMatch(/\[[1-9]\d*:\d+\]/);
    const world = await iptablesWorld(variant);
    expect(foreign()).toBe(before);
    world.put("EndpointSlice", slice("web-1", "web", ["10.244.1.1"]));
    await world.sync();
    world.iptables("-t", "nat", "-F", "KUBE-SERVICES");
    await world.repair();
    expect(foreign()).toBe(before);
    expect(world.saved("nat")).toContain(":KUBE-ROUTER-X");
    run(`iptables-${variant}`, "-P", "FORWARD", "ACCEPT");
  });

  test("a foreign rule before our jump stays there", async () => {
    const world = await iptablesWorld(variant);
    world.iptables("-t", "nat", "-I", "PREROUTING", "-s", "192.0.2.9", "-j", "RETURN");
    const before = world.saved("nat");
    expect(await world.repair()).toBeUndefined();
    expect(world.saved("nat")).toBe(before);
  });

  test("a chain that a foreign rule references stays empty, is logged once, and is deleted after that rule", async () => {
    const world = await iptablesWorld(variant);
    const [, chain = ""] =
      world.saved("nat").match(/-d 10\.96\.0\.1\/32 .*-j (KUBE-SVC-\S+)/) ?? [];
    world.iptables("-t", "nat", "-N", "ADMIN");
    world.iptables("-t", "nat", "-A", "ADMIN", "-j", chain);
    world.remove("Service", { metadata: { namespace: "default", name: "web" } });
    expect(await world.sync()).toBe(true);
    expect(world.saved("nat")).toContain(`:${chain} `);
    expect(world.saved("nat")).not.toContain(`-A ${chain} `);
    expect(await world.repair()).toBeUndefined();
    world.iptables("-t", "nat", "-F", "ADMIN");
    expect(await world.repair()).toMatchObject({ driftedCounts: {} });
    expect(world.saved("nat")).not.toContain(chain);
  });
});

/** Repaired jumps are at the top, regardless of their earlier position. */
function sorted(text: string): string[] {
  return text.split("\n").sort();
}
