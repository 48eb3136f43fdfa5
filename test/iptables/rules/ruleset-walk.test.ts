/**
 * Compares the end of each packet by the text of the chains with its end by the plan. Known
 * differences of iptables mode are excepted.
 */
import { describe, expect, test } from "bun:test";
import { buildService, parseRange, planText } from "../../../harness/plan/plan-text.ts";
import { type Dataplane, trace } from "../../../harness/plan/tracer.ts";
import { rulesetOf, type Served } from "./planned.ts";
import { Walk } from "./walk.ts";

const NODE = {
  primary: ["192.168.0.2"],
  nodePortRanges: ["192.168.0.0/16"],
};
const LOCAL = ["192.168.0.2", "172.17.0.1"];
const SOURCES = ["10.0.0.2", "10.180.0.1", "192.168.0.2", "203.0.113.2", "203.0.114.1"];
const BOTH = { cluster: ["10.180.0.1:80", "10.180.1.1:80"], local: ["10.180.0.1:80"] };
const REMOTE = { cluster: ["10.180.1.1:80", "10.180.1.2:80", "10.180.1.3:80"] };

const BALANCER = {
  type: "LoadBalancer",
  vips: ["1.2.3.4"],
  externalIPs: ["198.51.100.9"],
  clusterIPs: ["172.30.0.41"],
  ports: ["p80 tcp 80 3001"],
} as const;
const FRONTENDS = ["172.30.0.41 80", "1.2.3.4 80", "198.51.100.9 80", "192.168.0.2 3001"];

const POLICIES = [{}, { eTP: "Local" }, { iTP: "Local" }, { eTP: "Local", iTP: "Local" }] as const;
const ENDPOINTS = { "both sides": BOTH, elsewhere: REMOTE, nowhere: {} };
const SETTINGS: readonly (Pick<Dataplane, "pods" | "masqueradeAll"> & { name: string })[] = [
  { name: "a detector", pods: "10.0.0.0/8", masqueradeAll: false },
  { name: "no detector", pods: undefined, masqueradeAll: false },
  { name: "masqueradeAll", pods: "10.0.0.0/8", masqueradeAll: true },
  { name: "masqueradeAll without a detector", pods: undefined, masqueradeAll: true },
];

const CASES = SETTINGS.flatMap((setting) =>
  POLICIES.flatMap((policies) =>
    Object.entries(ENDPOINTS).flatMap(([where, endpoints]) =>
      [[], ["203.0.113.0/24"], ["192.168.0.0/16"]].flatMap((sourceRanges) =>
        [0, 60].map((affinity) => {
          const served: Served = {
            service: { ...BALANCER, ...policies, sourceRanges, affinity },
            endpoints,
          };
          const words = `${JSON.stringify(policies)}, ranges ${sourceRanges}, affinity ${affinity}`;
          return [`${setting.name}, endpoints ${where}, ${words}`, setting, served] as const;
        }),
      ),
    ),
  ),
);

describe("a packet ends as in the plan, with equal odds for each endpoint", () => {
  test.each(CASES)("%s", (_, { pods, masqueradeAll }, served) => {
    const detector = { kind: "cidr" as const, ...(pods && { ipv4: parseRange(pods) }) };
    const ruleset = rulesetOf([served], NODE, { detector, masqueradeAll });
    const planned = { service: buildService(served.service), endpoints: served.endpoints };
    // As in upstream, source ranges are evaluated only if there are endpoints.
    const guards = served.endpoints !== ENDPOINTS.nowhere;
    const plan = planText([planned], NODE).filter(
      (line) => guards || !/^(restricted|allowed-sources)/.test(line),
    );
    for (const from of SOURCES) {
      for (const frontend of FRONTENDS) {
        const [to = "", port] = frontend.split(" ");
        const packet = { from, to, protocol: "tcp", port: Number(port) };
        const dataplane = { nodeAddresses: LOCAL, pods, masqueradeAll };
        const outcome = trace(plan, dataplane, { from, to, port: `tcp ${port}` });
        const want = typeof outcome === "string" ? [outcome] : [...outcome];
        const odds = new Walk(ruleset, { local: LOCAL }).of(packet);
        const reported = `from ${from} to ${frontend}: `;
        expect(reported + [...odds.keys()].sort().join(" ")).toBe(reported + want.sort().join(" "));
        for (const chance of odds.values()) expect(chance).toBeCloseTo(1 / want.length, 6);
      }
    }
  });
});

test("unknown ports of a clusterIP, and clusterIPs without a Service, are not translated", () => {
  const walk = new Walk(rulesetOf([{ service: BALANCER, endpoints: BOTH }], NODE), {
    local: LOCAL,
  });
  for (const from of SOURCES) {
    for (const [to, port] of [
      ["172.30.0.41", 81],
      ["172.30.0.42", 80],
      ["192.168.0.2", 22],
      ["172.17.0.1", 3001],
    ] as const) {
      expect([...walk.of({ from, to, protocol: "tcp", port }).keys()]).toEqual(["untranslated"]);
    }
    const udp = { from, to: "172.30.0.41", protocol: "udp", port: 80 };
    expect([...walk.of(udp).keys()]).toEqual(["untranslated"]);
  }
});

test("an unserved node port is refused on every address of the node", () => {
  const walk = new Walk(rulesetOf([{ service: BALANCER, endpoints: {} }], NODE), { local: LOCAL });
  const packet = { from: "203.0.113.2", to: "172.17.0.1", protocol: "tcp", port: 3001 };
  expect([...walk.of(packet).keys()]).toEqual(["reject"]);
});

test("a client with affinity returns to its endpoint, through any frontend", () => {
  const affine = { service: { ...BALANCER, affinity: 60 }, endpoints: REMOTE };
  const ruleset = rulesetOf([affine], NODE);
  const [, chain = ""] =
    [...ruleset.chains.nat].find(([, text]) => text.endsWith("10.180.1.2:80"))?.[0].match(/(.*)/) ??
    [];
  const walk = new Walk(ruleset, { local: LOCAL, remembered: [chain] });
  for (const frontend of FRONTENDS) {
    const [to = "", port] = frontend.split(" ");
    const odds = walk.of({ from: "203.0.113.2", to, protocol: "tcp", port: Number(port) });
    expect([...odds.keys()]).toEqual(["10.180.1.2:80*"]);
  }
});

test("without the match that remembers clients, Services choose as without affinity", () => {
  const plain = rulesetOf([{ service: BALANCER, endpoints: BOTH }], NODE);
  const affine = [{ service: { ...BALANCER, affinity: 60 }, endpoints: BOTH }];
  expect(rulesetOf(affine, NODE, { recent: false }).chains).toEqual(plain.chains);
  expect(rulesetOf(affine, NODE).chains).not.toEqual(plain.chains);
});

test("IPv6 is the same", () => {
  const served = {
    service: {
      type: "NodePort",
      clusterIPs: ["fd00:30::1"],
      externalIPs: ["2001:db8::9"],
      ports: ["p tcp 80 3001"],
      eTP: "Local",
    } as const,
    endpoints: { cluster: ["[fd00:1::1]:80", "[fd00:1:0:1::1]:80"], local: ["[fd00:1::1]:80"] },
  };
  const node = { nodePortRanges: ["fd00:9::/64"] };
  const walk = new Walk(rulesetOf([served], node, {}, 6), { local: ["fd00:9::2"] });
  const outcome = (from: string, to: string, port: number) =>
    [...walk.of({ from, to, protocol: "tcp", port }).keys()].sort().join(" ");
  expect(outcome("2001:db8::5", "2001:db8::9", 80)).toBe("[fd00:1::1]:80");
  expect(outcome("2001:db8::5", "fd00:9::2", 3001)).toBe("[fd00:1::1]:80");
  expect(outcome("2001:db8::5", "fd00:30::1", 80)).toBe("[fd00:1:0:1::1]:80* [fd00:1::1]:80*");
  expect(outcome("fd00:1::1", "fd00:30::1", 80)).toBe("[fd00:1:0:1::1]:80 [fd00:1::1]:80*");
  expect(outcome("fd00:1::1", "2001:db8::9", 80)).toBe("[fd00:1:0:1::1]:80 [fd00:1::1]:80*");
});
