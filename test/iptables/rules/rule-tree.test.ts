import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseIp } from "../../../harness/plan/plan-text.ts";
import { assertProperty } from "../../../harness/property.ts";
import { CHAIN_RULES, RuleTree, type TreeLevel } from "../../../src/iptables/rules/rule-tree.ts";
import { NODE_PORT_LEVELS, serviceLevels } from "../../../src/iptables/rules/tree-levels.ts";
import { type FrontendKey, frontendKey, nodePortKey } from "../../../src/model/frontend-key.ts";
import { PROTOCOLS } from "../../../src/net/protocol.ts";

const at = (address: string, port = 80): FrontendKey =>
  frontendKey(parseIp(address).bytes, PROTOCOLS.TCP, port);

/** A tree and the chains that it has returned. */
class Planted {
  readonly tree: RuleTree;
  readonly chains = new Map<string, string>();

  constructor(levels: readonly TreeLevel[]) {
    this.tree = new RuleTree(levels);
  }

  flush(): this {
    this.tree.flush((chain, text) => {
      if (text === undefined) expect(this.chains.delete(chain)).toBe(true);
      else this.chains.set(chain, text);
    });
    return this;
  }

  all() {
    return { root: this.tree.text, chains: Object.fromEntries([...this.chains].sort()) };
  }
}

function plant(
  levels: readonly TreeLevel[],
  rules: Iterable<readonly [FrontendKey, string]>,
): Planted {
  const planted = new Planted(levels);
  for (const [key, rule] of rules) planted.tree.set(key, rule);
  return planted.flush();
}

const addresses = (count: number, first = 1) =>
  Array.from({ length: count }, (_, i): [FrontendKey, string] => {
    const number = first + i;
    const address = `10.96.${number >> 8}.${number & 255}`;
    return [at(address), `rule ${address}`];
  });

test(`${CHAIN_RULES} rules are in one chain, in the order of their addresses`, () => {
  const { root, chains } = plant(serviceLevels(4), addresses(16).reverse()).all();
  expect(root.split("\n")).toEqual(addresses(16).map(([, rule]) => rule));
  expect(chains).toEqual({});
});

test("one more splits them by prefixes, repeatedly if necessary", () => {
  const planted = plant(serviceLevels(4), [...addresses(17), [at("192.0.2.1"), "a stranger"]]);
  const { root, chains } = planted.all();
  expect(root).toBe("-d 10.96.0.0/16 -j KUBE-SVC-10.96.0.0/16\na stranger");
  expect(Object.keys(chains)).toEqual([
    "KUBE-SVC-10.96.0.0/16",
    "KUBE-SVC-10.96.0.0/20",
    "KUBE-SVC-10.96.0.0/24",
    "KUBE-SVC-10.96.0.0/28",
    "KUBE-SVC-10.96.0.16/28",
  ]);
  expect(chains["KUBE-SVC-10.96.0.0/24"]).toBe(
    "-d 10.96.0.0/28 -j KUBE-SVC-10.96.0.0/28\n-d 10.96.0.16/28 -j KUBE-SVC-10.96.0.16/28",
  );
  expect(chains["KUBE-SVC-10.96.0.16/28"]).toBe("rule 10.96.0.16\nrule 10.96.0.17");
});

test("an address with many ports has its own chain, one with few does not", () => {
  const ports = Array.from({ length: 20 }, (_, i): [FrontendKey, string] => [
    at("10.96.0.1", i),
    `port ${i}`,
  ]);
  const { chains } = plant(serviceLevels(4), [...ports, [at("10.96.0.2"), "another"]]).all();
  expect(chains["KUBE-SVC-10.96.0.0/28"]).toBe("-d 10.96.0.1/32 -j KUBE-SVC-10.96.0.1/32\nanother");
  expect(chains["KUBE-SVC-10.96.0.1/32"]?.split("\n").length).toBe(20);
});

test("IPv6 addresses are divided by their last 16 bits, and by any prefix before", () => {
  const rules = Array.from({ length: 40 }, (_, i): [FrontendKey, string] => {
    const address = `fd00:96::${i.toString(16)}`;
    return [at(address), address];
  });
  const { root, chains } = plant(serviceLevels(6), [
    ...rules,
    [at("2001:db8::1"), "a stranger"],
  ]).all();
  expect(root).toBe("a stranger\n-d fd00:96::/112 -j KUBE-SVC-fd00:96::/112");
  expect(chains["KUBE-SVC-fd00:96::20/124"]?.split("\n").length).toBe(8);
});

test("node ports are divided by ranges of 256 and 16 of a protocol", () => {
  const ports = [30_208, 30_223, 30_224, 32_767].flatMap((first) =>
    (["TCP", "UDP"] as const).flatMap((protocol) =>
      Array.from({ length: 4 }, (_, i): [FrontendKey, string] => [
        nodePortKey(4, PROTOCOLS[protocol], first - i),
        `${protocol} ${first - i}`,
      ]),
    ),
  );
  const planted = plant(NODE_PORT_LEVELS, ports).all();
  expect(planted.root.split("\n")).toEqual([
    "-p tcp -m tcp --dport 29952:30207 -j KUBE-EXT-tcp-29952-30207",
    "-p tcp -m tcp --dport 30208:30463 -j KUBE-EXT-tcp-30208-30463",
    "-p tcp -m tcp --dport 32512:32767 -j KUBE-EXT-tcp-32512-32767",
    "-p udp -m udp --dport 29952:30207 -j KUBE-EXT-udp-29952-30207",
    "-p udp -m udp --dport 30208:30463 -j KUBE-EXT-udp-30208-30463",
    "-p udp -m udp --dport 32512:32767 -j KUBE-EXT-udp-32512-32767",
  ]);
});

test("a change returns only the chains on its path", () => {
  const planted = plant(serviceLevels(4), addresses(2000));
  const changed: string[] = [];
  planted.tree.set(at("10.96.3.17"), "another rule");
  expect(planted.tree.flush((chain) => changed.push(chain))).toBe(false);
  expect(changed.sort()).toEqual([
    "KUBE-SVC-10.96.0.0/16",
    "KUBE-SVC-10.96.0.0/20",
    "KUBE-SVC-10.96.3.0/24",
    "KUBE-SVC-10.96.3.16/28",
  ]);
});

describe("after any additions and removals", () => {
  /** So few bits that chains are split and joined all the time. */
  const key = fc.oneof(
    fc.integer({ min: 0, max: 60 }).map((i) => at(`10.96.0.${i}`)),
    fc.integer({ min: 0, max: 40 }).map((i) => at(`10.${i}.1.1`)),
    fc.integer({ min: 0, max: 30 }).map((i) => at("10.96.0.1", i)),
  );
  const change = fc.tuple(key, fc.option(fc.constantFrom("one", "two"), { nil: undefined }));

  test("the tree depends only on its rules, and a packet reaches each of them", () => {
    assertProperty(
      "rule-tree",
      fc.property(fc.array(fc.array(change, { maxLength: 60 }), { maxLength: 8 }), (rounds) => {
        const rules = new Map<FrontendKey, string>();
        const planted = new Planted(serviceLevels(4));
        for (const round of rounds) {
          for (const [each, rule] of round) {
            planted.tree.set(each, rule && `${rule} ${each}`);
            if (rule === undefined) rules.delete(each);
            else rules.set(each, `${rule} ${each}`);
          }
          planted.flush();
        }
        expect(planted.all()).toEqual(plant(serviceLevels(4), rules).all());
        expect(planted.tree.size).toBe(rules.size);
        expect(reached(planted, planted.tree.text).sort()).toEqual([...rules.values()].sort());
        for (const text of planted.chains.values()) {
          expect(text.split("\n").length).toBeLessThanOrEqual(31);
        }
      }),
      60,
    );
  });

  function reached(planted: Planted, text: string): string[] {
    if (text === "") return [];
    return text.split("\n").flatMap((rule) => {
      const chain = / -j (KUBE-\S+)$/.exec(rule)?.[1];
      if (chain === undefined) return [rule];
      expect(planted.chains.has(chain)).toBe(true);
      return reached(planted, planted.chains.get(chain) ?? "");
    });
  }
});
