/** The chains depend on the contents of the tables, not on their history, and are consistent. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { NodeText, ServiceText } from "../../../harness/plan/plan-text.ts";
import { assertProperty, PROPERTY_LIMIT_MS } from "../../../harness/property.ts";
import { CHAIN_NAME_MAX } from "../../../src/iptables/rules/chain-names.ts";
import type { ChainChanges } from "../../../src/iptables/rules/chain-texts.ts";
import { Ruleset } from "../../../src/iptables/rules/ruleset.ts";
import type { Family } from "../../../src/net/address.ts";
import {
  describeOf,
  elementsOf,
  linesOf,
  OPTIONS,
  operationsBetween,
  type Served,
  snapshot,
} from "./planned.ts";
import { Walk } from "./walk.ts";

interface World {
  readonly services: ReadonlyMap<number, Served>;
  readonly node: NodeText;
}

const EMPTY: World = { services: new Map(), node: {} };
/** Ids of Services, enough of them that chains are split. */
const IDS = 40;

const address = (family: Family, id: number) =>
  family === 4 ? `10.96.${id % 3}.${id}` : `fd00:96::${id % 3}:${id.toString(16)}`;

interface Chosen {
  readonly cluster: readonly string[];
  readonly local: readonly string[];
}

/** Endpoints on this node and elsewhere, in any order. There are always some elsewhere. */
const endpoints = (id: number, port: number): fc.Arbitrary<Chosen> =>
  fc
    .record({ here: fc.nat(3), elsewhere: fc.integer({ min: 1, max: 3 }), usable: fc.nat(3) })
    .chain(({ here, elsewhere, usable }): fc.Arbitrary<Chosen> => {
      if (usable === 0) return fc.constant({ cluster: [], local: [] });
      const of = (where: number, count: number) =>
        Array.from({ length: count }, (_, i) => [
          `10.${where}.${id}.${i}:${8000 + port}`,
          `[fd00:1:${where}::${id}:${i}]:${8000 + port}`,
        ]).flat();
      const cluster = [...of(1, here), ...of(2, elsewhere)];
      return fc.shuffledSubarray(cluster, { minLength: cluster.length }).map((shuffled) => ({
        cluster: shuffled,
        local: shuffled.filter((one) => of(1, here).includes(one)),
      }));
    });

/** Several Services want the same addresses, and one of them gets each. */
const SHARED = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];

const served = (id: number): fc.Arbitrary<Served> =>
  fc
    .record({
      type: fc.constantFrom<NonNullable<ServiceText["type"]>[]>(
        "ClusterIP",
        "NodePort",
        "LoadBalancer",
      ),
      ports: fc.integer({ min: 1, max: 3 }),
      udp: fc.boolean(),
      externalIPs: fc.subarray(SHARED),
      vips: fc.subarray([`203.0.113.${id}`, ...SHARED, `2001:db8:1::${id}`]),
      sourceRanges: fc.subarray(["198.51.100.0/24", "10.0.0.0/8", "2001:db8:2::/48"]),
      policies: fc.constantFrom({}, { eTP: "Local" }, { iTP: "Local" }, {
        eTP: "Local",
        iTP: "Local",
      } as const),
      affinity: fc.constantFrom(0, 0, 60),
      created: fc.nat(2),
    })
    .chain(({ ports, udp, policies, type, vips, ...rest }) =>
      fc
        .tuple(...Array.from({ length: ports }, (_, port) => endpoints(id, port)))
        .map((chosen) => ({
          service: {
            ...rest,
            ...(policies as Pick<ServiceText, "eTP" | "iTP">),
            id,
            type,
            name: `ns/s${id}`,
            vips: type === "LoadBalancer" ? vips : [],
            clusterIPs: [address(4, id), address(6, id)],
            healthCheckNodePort: 31_000 + id,
            ports: Array.from({ length: ports }, (_, port) => {
              const nodePort = 30_000 + id * 8 + port;
              return `p${port} ${udp ? "udp" : "tcp"} ${80 + port} ${nodePort}`;
            }),
          },
          endpoints: chosen,
        })),
    );

const node: fc.Arbitrary<NodeText> = fc.record({
  nodePortRanges: fc.subarray(["192.168.0.0/16", "172.17.0.1/32", "fd00:9::2/128"]),
  localEndpoints: fc
    .tuple(fc.nat(30), fc.nat(3))
    .map(([ids, each]) =>
      Array.from({ length: ids * each }, (_, i) => [
        `10.1.${i % 30}.${i}`,
        `fd00:1:1::${i}`,
      ]).flat(),
    ),
  opensHealthCheckPorts: fc.boolean(),
});

/** A Service is added or removed, or the node changes. */
type Change =
  | { readonly id: number; readonly is: Served | undefined }
  | { readonly node: NodeText };
const id = fc.integer({ min: 1, max: IDS });
const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 8, arbitrary: id.chain((one) => fc.record({ id: fc.constant(one), is: served(one) })) },
  { weight: 2, arbitrary: fc.record({ id, is: fc.constant(undefined) }) },
  { weight: 1, arbitrary: fc.record({ node }) },
);

function after(world: World, changes: readonly Change[]): World {
  const services = new Map(world.services);
  let { node: now } = world;
  for (const one of changes) {
    if ("node" in one) now = one.node;
    else if (one.is === undefined) services.delete(one.id);
    else services.set(one.id, one.is);
  }
  return { services, node: now };
}

const round = fc.record({
  changes: fc.array(change, { maxLength: 12 }),
  /** The next round commits the staged changes, reverts them, or adds to them. */
  end: fc.constantFrom("commit", "commit", "rollback", "stage"),
});

const listOf = ({ services }: World): Served[] => [...services.values()];
const elements = (world: World) => elementsOf(listOf(world), world.node);

function fresh(world: World, family: Family): Ruleset {
  const ruleset = new Ruleset(family, OPTIONS);
  ruleset.stage(operationsBetween(new Map(), elements(world)), describeOf(listOf(world)));
  ruleset.commit();
  return ruleset;
}

/** The chains after these changes. */
function changed(before: ReturnType<typeof snapshot>, changes: ChainChanges) {
  const now = { nat: { ...before.nat }, filter: { ...before.filter } };
  for (const table of ["nat", "filter"] as const) {
    for (const [chain, text] of changes[table]) {
      expect(text).not.toBe(before[table][chain]);
      if (text === undefined) delete now[table][chain];
      else now[table][chain] = text;
    }
  }
  return now;
}

describe.each([4, 6] as const)("IPv%i", (family) => {
  test(
    "after any history the chains are the same as after a start, and changes are reported",
    () => {
      assertProperty(
        "ruleset-history",
        fc.property(fc.array(round, { minLength: 1, maxLength: 8 }), (rounds) => {
          const ruleset = new Ruleset(family, OPTIONS);
          let [committed, staged] = [EMPTY, EMPTY];
          let before = snapshot(ruleset.chains);
          for (const { changes, end } of rounds) {
            const next = after(staged, changes);
            const operations = operationsBetween(elements(staged), elements(next));
            const reported = ruleset.stage(operations, describeOf(listOf(next)));
            staged = next;
            expect(changed(before, reported)).toEqual(snapshot(ruleset.chains));
            if (end === "stage") continue;
            if (end === "commit") {
              ruleset.commit();
              committed = staged;
              before = snapshot(ruleset.chains);
            } else {
              ruleset.rollback();
              staged = committed;
              expect(snapshot(ruleset.chains)).toEqual(before);
            }
          }
          expect(snapshot(ruleset.chains)).toEqual(snapshot(fresh(staged, family).chains));
        }),
        { numRuns: 40, variant: `IPv${family}` },
      );
    },
    PROPERTY_LIMIT_MS,
  );

  test(
    "every referenced chain exists, has a reason to exist, and a name that fits",
    () => {
      assertProperty(
        "ruleset-chains",
        fc.property(fc.array(change, { minLength: 10, maxLength: 60 }), (changes) => {
          const world = after(EMPTY, changes);
          const { chains, jumps } = fresh(world, family);
          for (const table of ["nat", "filter"] as const) {
            const targets = new Set(
              jumps.filter((jump) => jump.table === table).map(({ rule }) => targetOf(rule)),
            );
            for (const text of chains[table].values()) {
              for (const rule of linesOf(text)) targets.add(targetOf(rule));
            }
            for (const target of targets) {
              if (target.startsWith("KUBE-")) expect(chains[table].has(target)).toBe(true);
            }
            for (const chain of chains[table].keys()) {
              expect(chain.length).toBeLessThanOrEqual(CHAIN_NAME_MAX);
              if (!ALWAYS.includes(chain))
                expect([chain, targets.has(chain)]).toEqual([chain, true]);
            }
          }
        }),
        { numRuns: 30, variant: `IPv${family}` },
      );
    },
    PROPERTY_LIMIT_MS,
  );

  test(
    "every clusterIP is found in the tree, and its endpoints have equal odds",
    () => {
      assertProperty(
        "ruleset-odds",
        fc.property(fc.array(change, { minLength: 30, maxLength: 80 }), (changes) => {
          const world = after(EMPTY, changes);
          const ruleset = fresh({ ...world, node: {} }, family);
          for (const { service, endpoints: chosen } of listOf(world)) {
            (service.ports ?? []).forEach((text, i) => {
              const [, protocol = "", port] = text.split(" ");
              const walk = new Walk(ruleset, { local: [] });
              const from = family === 4 ? "10.200.0.1" : "fd00:1:99::1";
              const to = address(family, service.id ?? 0);
              const odds = walk.of({ from, to, protocol, port: Number(port) });
              const { cluster = [], local = [] } = (chosen as readonly Chosen[])[i] ?? {};
              const want = (service.iTP === "Local" ? local : cluster).filter(
                (one) => one.startsWith("[") === (family === 6),
              );
              const none = cluster.length > 0 ? "drop" : "reject";
              expect([...odds.keys()].sort()).toEqual(want.length > 0 ? [...want].sort() : [none]);
              for (const chance of odds.values())
                expect(chance).toBeCloseTo(1 / Math.max(1, want.length), 6);
            });
          }
        }),
        { numRuns: 15, variant: `IPv${family}` },
      );
    },
    PROPERTY_LIMIT_MS,
  );
});

/** Nothing leads to it without a local detector. It marks our chains. */
const ALWAYS = ["KUBE-SVC-OUTSIDE", "KUBE-NODEPORTS"];

const targetOf = (rule: string) => / -j (\S+)/.exec(` ${rule}`)?.[1] ?? "";

describe("comments on rules that name a Service", () => {
  const world = (count: number): Served[] =>
    Array.from({ length: count }, (_, i) => ({
      service: { id: i + 1, name: `ns/s${i}`, clusterIPs: [`10.96.${i >> 8}.${i & 255}`] },
      endpoints: { cluster: ["10.1.0.5:80"] },
    }));
  const commented = ({ chains }: Ruleset) =>
    [...chains.nat.values()].join("\n").includes("cluster IP");

  test("disappear above 1,000 rules and return below 500, also across a rollback", () => {
    const ruleset = new Ruleset(4, OPTIONS);
    let now = world(0);
    const become = (count: number, end: "commit" | "rollback" = "commit") => {
      const next = world(count);
      ruleset.stage(operationsBetween(elementsOf(now), elementsOf(next)), describeOf(next));
      const staged = commented(ruleset);
      ruleset[end]();
      if (end === "commit") now = next;
      return staged;
    };
    expect(become(1000)).toBe(true);
    const before = snapshot(ruleset.chains);
    expect(become(1001, "rollback")).toBe(false);
    expect(snapshot(ruleset.chains)).toEqual(before);
    expect(become(1001)).toBe(false);
    expect(become(500)).toBe(false);
    expect(become(499, "rollback")).toBe(true);
    expect(commented(ruleset)).toBe(false);
    expect(become(499)).toBe(true);
  });
});
