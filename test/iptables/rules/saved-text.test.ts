/**
 * Loads the chains in a network namespace of its own. Both variants of the tools must print them as
 * they were written.
 */
import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { randomMatch } from "../../../src/iptables/rules/rule-text.ts";
import type { Ruleset } from "../../../src/iptables/rules/ruleset.ts";
import { parseSaved } from "../../../src/iptables/syntax/iptables-save.ts";
import type { Family } from "../../../src/net/address.ts";
import { linesOf, rulesetOf, type Served } from "./planned.ts";

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Services of every kind in both families, enough of them for trees. */
const SERVED: readonly Served[] = range(60).map((i) => ({
  service: {
    id: i + 1,
    name: i === 7 ? `a'b\\c"d/ü${"x".repeat(250)}` : `ns/s${i}`,
    type: "LoadBalancer",
    created: i,
    clusterIPs: [`10.96.${i % 4}.${i}`, `fd00:96::${i % 4}:${i.toString(16)}`],
    externalIPs: [`198.51.100.${i}`, `2001:db8:${i}:0:0:1:0:${i}`, `::ffff:0:1.2.3.${i}`],
    vips: [`192.0.2.${i}`, `2001:db8::${i}`],
    sourceRanges: i % 5 === 0 ? ["203.0.113.7/32", "10.0.0.0/9", "2001:db8:7::/49", "::/1"] : [],
    ports: [`p tcp 80 ${30_000 + i}`, `u udp 53 ${30_000 + i}`, `s sctp 9 ${31_000 + 9 * i}`],
    affinity: i % 3 === 0 ? 10_800 + i : 0,
    healthCheckNodePort: 32_000 + i,
    ...(i % 2 === 0 ? { eTP: "Local" } : {}),
    ...(i % 7 === 0 ? { iTP: "Local" } : {}),
  },
  endpoints: range(3).map((port) => {
    const cluster = range((i * (port + 1)) % 13).flatMap((n) => [
      `10.1.${n}.${i}:80`,
      `[fd00:1:${n}::${i}]:80`,
    ]);
    return { cluster, local: cluster.slice(0, i % 4) };
  }),
}));
const NODE = {
  nodePortRanges: ["0.0.0.0/0", "fd00:9::/64"],
  localEndpoints: range(50).flatMap((i) => [`10.1.${i % 3}.${i}`, `fd00:1:${i % 3}::${i}`]),
  opensHealthCheckPorts: true,
};

const CASES = (["legacy", "nft"] as const).flatMap((variant) =>
  ([4, 6] as const).map((family) => [variant, family] as const),
);

describe.each(CASES)("iptables-%s, IPv%i", (variant, family) => {
  test.each([
    ["a cluster with comments", { localhostNodePorts: true, dropInvalid: true }],
    [
      "one without, with pods known by their interfaces",
      {
        comments: false,
        randomFully: false,
        detector: { kind: "interface", name: "veth", prefix: true },
      },
    ],
    [
      "one with a bridge, and the highest bit for a mark",
      {
        masqueradeBit: 31,
        masqueradeAll: true,
        detector: { kind: "interface", name: "cbr0", prefix: false },
      },
    ],
  ] as const)("%s", (_, options) => {
    const ruleset = rulesetOf(SERVED, NODE, options, family);
    const saved = restoredAndSaved(ruleset, variant, family);
    for (const table of ["nat", "filter"] as const) {
      const { rules, chains } = parseSaved(saved[table]);
      const printed = new Map(
        chains
          .filter(({ base }) => !base)
          .map(({ name }) => [name, (rules.get(name) ?? []).map(({ id }) => id)]),
      );
      expect([...printed.keys()].sort()).toEqual([...ruleset.chains[table].keys()].sort());
      for (const [chain, text] of ruleset.chains[table]) {
        expect([chain, ...(printed.get(chain) ?? [])]).toEqual([chain, ...linesOf(text)]);
      }
      const jumps = chains
        .filter(({ base }) => base)
        .flatMap(({ name }) => (rules.get(name) ?? []).map(({ id }) => `${name} ${id}`));
      const wanted = ruleset.jumps
        .filter((jump) => jump.table === table)
        .map(({ from, rule }) => `${from} ${rule}`);
      expect(jumps.sort()).toEqual(wanted.sort());
    }
  });
});

test("for any odds, the kernel prints probabilities as we do", () => {
  const counts = [...range(300).slice(2), 999, 1000, 1001, 4095, 65_537, 999_999, 1_000_000];
  const rules = counts.map((of) => `-A KUBE-SVC-A ${randomMatch(of)} -j RETURN`);
  const input = ["*nat", ":KUBE-SVC-A - [0:0]", ...rules, "COMMIT", ""].join("\n");
  for (const variant of ["legacy", "nft"] as const) {
    const { nat } = inItsOwnNetwork(input, variant, 4);
    expect(nat.split("\n").filter((line) => line.startsWith("-A"))).toEqual(rules);
  }
});

function restoredAndSaved({ chains, jumps }: Ruleset, variant: string, family: Family) {
  const lines = (["nat", "filter"] as const).flatMap((table) => [
    `*${table}`,
    ...[...chains[table].keys()].map((chain) => `:${chain} - [0:0]`),
    ...[...chains[table]].flatMap(([chain, text]) =>
      linesOf(text).map((rule) => `-A ${chain} ${rule}`),
    ),
    ...jumps.filter((jump) => jump.table === table).map(({ from, rule }) => `-I ${from} ${rule}`),
    "COMMIT",
  ]);
  return inItsOwnNetwork(`${lines.join("\n")}\n`, variant, family);
}

function inItsOwnNetwork(input: string, variant: string, family: Family) {
  const tool = `${family === 4 ? "ip" : "ip6"}tables-${variant}`;
  const script = `${tool}-restore --noflush && ${tool}-save -t nat && echo '#next' && ${tool}-save -t filter`;
  const { status, stdout, stderr } = spawnSync("unshare", ["-n", "sh", "-c", script], {
    input,
    encoding: "utf8",
  });
  expect([status, stderr]).toEqual([0, ""]);
  const [nat = "", filter = ""] = stdout.split("#next\n");
  return { nat, filter };
}
