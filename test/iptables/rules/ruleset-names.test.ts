/** Tests changed options, owners of rules, and names of chains. */
import { describe, expect, test } from "bun:test";
import { add, element } from "../../../harness/core/made-operations.ts";
import type { RulesetOptions } from "../../../src/iptables/rules/fixed-chains.ts";
import { Ruleset } from "../../../src/iptables/rules/ruleset.ts";
import {
  additions,
  describeOf,
  elementsOf,
  OPTIONS,
  rulesetOf,
  rulesOf,
  type Served,
  snapshot,
} from "./planned.ts";

/** The hash of ns1/svc1:p80. */
const SVC = "XPGD46QRK7WJZT7O";
const PORT = ["p80 tcp 80"];
const NODE_PORT = ["p80 tcp 80 30080"];
const SERVICE = { name: "ns1/svc1", ports: PORT } as const;
const TWO = { cluster: ["10.1.0.6:8080", "10.1.0.5:8080"] };
const BALANCER = { ...SERVICE, type: "LoadBalancer", vips: ["192.0.2.7"] } as const;

describe("other options", () => {
  const served: Served = {
    service: {
      ...BALANCER,
      ports: NODE_PORT,
      eTP: "Local",
      sourceRanges: ["203.0.113.0/24"],
      affinity: 9,
    },
    endpoints: { cluster: ["10.9.0.5:8080"] },
  };
  const node = {
    nodePortRanges: ["192.168.0.2/32"],
    opensHealthCheckPorts: true,
  };
  const OTHERS: Partial<RulesetOptions> = {
    masqueradeBit: 3,
    dropInvalid: true,
    randomFully: false,
    comments: false,
    recent: false,
    localhostNodePorts: true,
    detector: { kind: "interface", name: "cbr0", prefix: false },
  };

  test("have the same result as a start with them, and back", () => {
    const ruleset = rulesetOf([served], node);
    const before = snapshot(ruleset.chains);
    const changes = ruleset.reconfigure({ ...OPTIONS, ...OTHERS });
    expect(snapshot(ruleset.chains)).toEqual(snapshot(rulesetOf([served], node, OTHERS).chains));
    for (const table of ["nat", "filter"] as const) {
      const now = snapshot(ruleset.chains)[table];
      for (const chain of new Set([...Object.keys(now), ...Object.keys(before[table])])) {
        expect(changes[table].has(chain)).toBe(now[chain] !== before[table][chain]);
      }
    }
    ruleset.reconfigure(OPTIONS);
    expect(snapshot(ruleset.chains)).toEqual(before);
  });

  test("without a difference change nothing", () => {
    const { nat, filter } = rulesetOf([served], node).reconfigure({ ...OPTIONS });
    expect([nat.size, filter.size]).toEqual([0, 0]);
  });
});

describe("a rule leads back to its owner", () => {
  const web: Served = {
    service: {
      ...BALANCER,
      id: 7,
      ports: NODE_PORT,
      sourceRanges: ["203.0.113.0/24"],
      affinity: 9,
      eTP: "Local",
      healthCheckNodePort: 32_000,
    },
    endpoints: { cluster: ["10.9.0.5:8080"] },
  };
  const idle: Served = {
    service: { id: 9, name: "ns1/idle", clusterIPs: ["10.96.0.9"] },
    endpoints: {},
  };
  const node = {
    nodePortRanges: ["192.168.0.2/32"],
    opensHealthCheckPorts: true,
  };

  test.each([
    [7, "nat", "KUBE-SERVICES", "-d 192.0.2.7/32"],
    [7, "nat", "KUBE-NODEPORTS", "30080"],
    [7, "nat", "KUBE-EXT-", "LOCAL"],
    [7, "nat", "KUBE-FW-", "203.0.113.0/24"],
    [7, "nat", "KUBE-SEP-", "10.9.0.5"],
    [7, "filter", "KUBE-PROXY-FIREWALL", "192.0.2.7"],
    [7, "filter", "KUBE-EXTERNAL-SERVICES", "30080"],
    [7, "filter", "KUBE-NODEPORTS", "32000"],
    [9, "filter", "KUBE-SERVICES", "10.96.0.9"],
    [0, "nat", "KUBE-SERVICES", "-d 192.168.0.2/32"],
    [undefined, "nat", "KUBE-SEP-HAIRPIN", "MASQUERADE"],
    [undefined, "nat", "KUBE-SERVICES", "KUBE-SVC-OUTSIDE"],
    [undefined, "nat", "KUBE-POSTROUTING", "RETURN"],
    [undefined, "filter", "KUBE-FORWARD", "ESTABLISHED"],
  ] as const)("%p: %s %s … %s", (owner, table, chain, words) => {
    const ruleset = rulesetOf([web, idle], node);
    const found = [...ruleset.chains[table]].flatMap(([name, text]) =>
      name.startsWith(chain)
        ? text.split("\n").flatMap((rule, index) => (rule.includes(words) ? [{ name, index }] : []))
        : [],
    );
    expect(found.length).toBeGreaterThan(0);
    for (const { name, index } of found) {
      expect<number | undefined>(ruleset.ownerOf(table, name, index)).toBe(owner);
    }
  });
});

describe("names", () => {
  const served = (id: number, name: string, clusterIP: string): Served => ({
    service: { id, name, clusterIPs: [clusterIP], ports: PORT },
    endpoints: TWO,
  });

  test("of an unknown Service belong to it", () => {
    const world = [served(1, "ns1/svc1", "10.96.0.1"), served(2, "ns1/svc1", "10.96.0.2")];
    const ruleset = new Ruleset(4, OPTIONS);
    ruleset.stage(additions(elementsOf(world)), () => undefined);
    expect(
      rulesOf(ruleset.chains, "nat", "KUBE-SVC-").filter((rule) => rule.includes("DNAT")),
    ).toHaveLength(4);
  });

  test("that two Services share belong to one of them, in either order", () => {
    const first = served(1, "ns1/svc1", "10.96.0.1");
    const second = served(2, "ns1/svc1", "10.96.0.2");
    const describe = () => ({ name: "ns1/svc1:p80", internalLocal: false });
    const stage = (...worlds: Served[][]) => {
      const ruleset = new Ruleset(4, OPTIONS);
      for (const world of worlds) ruleset.stage(additions(elementsOf(world)), describe);
      return snapshot(ruleset.chains);
    };
    const both = stage([first, second]);
    expect(stage([second], [first])).toEqual(both);
    expect(stage([first], [second])).toEqual(both);
    expect(both.nat[`KUBE-SVC-${SVC}`]).toContain("DNAT");
    expect(Object.values(both.nat).filter((text) => text.includes("-j DNAT"))).toHaveLength(2);
  });

  test("follow a renamed port, with all its frontends", () => {
    const before = { ...served(1, "ns1/svc1", "10.96.0.1") };
    const more = { ...before, service: { ...before.service, externalIPs: ["192.0.2.9"] } };
    const ruleset = rulesetOf([before]);
    const renamed = { ...more, service: { ...more.service, ports: ["web tcp 80"] } };
    ruleset.stage(additions(elementsOf([renamed])), describeOf([renamed]));
    expect(snapshot(ruleset.chains)).toEqual(snapshot(rulesetOf([renamed]).chains));
  });

  test("never break out of their comment", () => {
    const ruleset = new Ruleset(4, OPTIONS);
    const name = 'x"\n-A KUBE-SERVICES -j ACCEPT\n\\';
    ruleset.stage(additions(elementsOf([served(1, "a/b", "10.96.0.1")])), () => ({
      name,
      internalLocal: false,
    }));
    const rules = (ruleset.chains.nat.get("KUBE-SERVICES") ?? "").split("\n");
    expect(rules).toHaveLength(2);
    expect(rules[1]).toContain(
      String.raw`--comment "x\"?-A KUBE-SERVICES -j ACCEPT?\\ cluster IP" -m tcp`,
    );
  });
});

test("elements of the other family are skipped", () => {
  const ruleset = new Ruleset(4, OPTIONS);
  const operations = add(
    1,
    element("cluster-ips", 6, ["fd00:96::1"]),
    element("node-port-ranges", 6, ["fd00::2/128"]),
  );
  const { nat, filter } = ruleset.stage(
    operations.map(({ kind, owner, element: one }) => ({ kind, owner, ...one })),
    () => undefined,
  );
  expect([nat.size, filter.size]).toEqual([0, 0]);
});
