import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { buildService, type ServiceText } from "../../harness/plan/plan-text.ts";
import { assertProperty } from "../../harness/property.ts";
import { addressKey } from "../../src/model/frontend-key.ts";
import type { Service, ServiceId } from "../../src/model/service.ts";
import { FrontendClaims } from "../../src/state/claims.ts";
import { clusterIpsOf, expandService, frontendsOf } from "../../src/state/frontends.ts";

const EXTERNAL = { externalIPs: ["203.0.113.1"] };
const old = buildService({
  id: 1,
  name: "b/old",
  created: 10,
  clusterIPs: ["10.96.0.1"],
  ...EXTERNAL,
});
const young = buildService({
  id: 2,
  name: "a/young",
  created: 20,
  clusterIPs: ["10.96.0.2"],
  ...EXTERNAL,
});
const shared = frontendsOf(old).find((one) => one.kind === "external-ip")?.key ?? "";
const id = (number: number) => number as ServiceId;
const nameOf = (of: ServiceId) => ["", "b/old", "a/young", "c/third"][of] ?? "";

describe("a frontend two Services claim", () => {
  test("goes to the older one, in any order of arrival", () => {
    for (const order of [
      [old, young],
      [young, old],
    ]) {
      const claims = new FrontendClaims(nameOf);
      for (const one of order) claims.update(expandService(one));
      expect(claims.holds(old.id, shared)).toBe(true);
      expect(claims.holds(young.id, shared)).toBe(false);
    }
  });

  test("names the other Service when the holder changes, in both directions", () => {
    const claims = new FrontendClaims(nameOf);
    expect(claims.update(expandService(young))).toEqual([]);
    expect(claims.update(expandService(old))).toEqual([young.id]);
    expect(claims.update(expandService(old))).toEqual([]);
    expect(claims.remove(old.id)).toEqual([young.id]);
    expect(claims.holds(young.id, shared)).toBe(true);
    expect(claims.remove(young.id)).toEqual([]);
    expect(claims.holds(young.id, shared)).toBe(false);
  });

  test("is released by an update without it", () => {
    const claims = new FrontendClaims(nameOf);
    claims.update(expandService(old));
    claims.update(expandService(young));
    expect(claims.update(expandService({ ...old, externalIPs: [] }))).toEqual([young.id]);
    expect(claims.holds(young.id, shared)).toBe(true);
  });

  test("moves to the other when the holder is created again under its name", () => {
    const claims = new FrontendClaims(nameOf);
    claims.update(expandService(old));
    claims.update(expandService(young));
    expect(claims.update(expandService({ ...old, created: 30 }))).toEqual([young.id]);
    expect(claims.holds(young.id, shared)).toBe(true);
  });

  test("is decided by namespace/name for Services of the same second", () => {
    const claims = new FrontendClaims(nameOf);
    claims.update(expandService({ ...old, created: 20 }));
    expect(claims.update(expandService(young))).toEqual([old.id]);
    expect(claims.holds(young.id, shared)).toBe(true);
  });

  test("stays where it is when a third, younger claimant comes and goes", () => {
    const claims = new FrontendClaims(nameOf);
    claims.update(expandService(old));
    claims.update(expandService(young));
    const third = buildService({
      id: 3,
      name: "c/third",
      created: 30,
      clusterIPs: [],
      ...EXTERNAL,
    });
    const late = { ...third, clusterIPs: buildService({ clusterIPs: ["10.96.0.3"] }).clusterIPs };
    expect(claims.update(expandService(late))).toEqual([]);
    expect(claims.remove(late.id)).toEqual([]);
    expect(claims.update(expandService(late))).toEqual([]);
    expect(claims.remove(old.id)).toEqual([young.id]);
    expect(claims.remove(young.id)).toEqual([late.id]);
  });
});

interface ProblemCase {
  readonly name: string;
  readonly services: readonly ServiceText[];
  /** `field: message` of the last Service. */
  readonly want: readonly string[];
}

const PROBLEMS: readonly ProblemCase[] = [
  {
    name: "nobody else claims anything",
    services: [{ id: 1 }, { id: 2, clusterIPs: ["10.96.0.2"] }],
    want: [],
  },
  {
    name: "an externalIP and a VIP",
    services: [
      { id: 1, name: "a/one", externalIPs: ["203.0.113.1", "1.2.3.4"] },
      {
        id: 2,
        name: "a/two",
        clusterIPs: ["10.96.0.2"],
        externalIPs: ["203.0.113.1"],
        vips: ["1.2.3.4"],
      },
    ],
    want: [
      "spec.externalIPs: 203.0.113.1 tcp 80: spec.externalIPs: 203.0.113.1:80/TCP is already used by Service a/one, which is as old and comes first by name",
      "status.loadBalancer.ingress: 1.2.3.4 tcp 80: status.loadBalancer.ingress: 1.2.3.4:80/TCP is already used by Service a/one, which is as old and comes first by name",
    ],
  },
  {
    name: "a node port",
    services: [
      { id: 1, name: "a/one", type: "NodePort", ports: ["x udp 80 30080"] },
      {
        id: 2,
        name: "a/two",
        type: "NodePort",
        ports: ["x udp 80 30080"],
        clusterIPs: ["10.9.0.2"],
      },
    ],
    want: [
      "spec.ports[0].nodePort: node port udp 30080: spec.ports[0].nodePort: node port 30080/UDP is already used by Service a/one, which is as old and comes first by name",
    ],
  },
  {
    name: "a node port that one Service holds for IPv4 and another for IPv6 is two problems",
    services: [
      { id: 1, name: "a/four", type: "NodePort", ports: ["x udp 80 30080"] },
      {
        id: 2,
        name: "a/six",
        type: "NodePort",
        ports: ["x udp 80 30080"],
        clusterIPs: ["fd00::2"],
      },
      {
        id: 3,
        name: "b/dual",
        type: "NodePort",
        ports: ["x udp 80 30080"],
        clusterIPs: ["10.9.0.3", "fd00::3"],
      },
    ],
    want: [
      "spec.ports[0].nodePort: IPv4 node port udp 30080: spec.ports[0].nodePort: IPv4 node port 30080/UDP is already used by Service a/four, which is as old and comes first by name",
      "spec.ports[0].nodePort: IPv6 node port udp 30080: spec.ports[0].nodePort: IPv6 node port 30080/UDP is already used by Service a/six, which is as old and comes first by name",
    ],
  },
  {
    name: "a clusterIP with its port is one problem, a clusterIP without a common port another",
    services: [
      { id: 1, name: "a/one", clusterIPs: ["10.96.0.1", "fd00::1"] },
      { id: 2, name: "a/two", clusterIPs: ["fd00::1"], ports: ["x tcp 81"] },
      { id: 3, name: "a/three", clusterIPs: ["10.96.0.1"], ports: ["x tcp 80"], created: 2000 },
    ],
    want: [
      "spec.clusterIPs: 10.96.0.1 tcp 80: spec.clusterIPs: 10.96.0.1:80/TCP is already used by Service a/one, which is older",
    ],
  },
  {
    name: "a clusterIP without a common port",
    services: [
      { id: 1, name: "a/one", clusterIPs: ["10.96.0.1", "fd00::1"] },
      { id: 2, name: "a/two", clusterIPs: ["fd00::1"], ports: ["x tcp 81"] },
    ],
    want: [
      "spec.clusterIPs: fd00::1: spec.clusterIPs: fd00::1 is already used by Service a/one, which is as old and comes first by name",
    ],
  },
];

describe("the loser gets a problem", () => {
  test.each(PROBLEMS.map((one) => [one.name, one] as const))("%s", (_, one) => {
    const names: string[] = [];
    const claims = new FrontendClaims((of) => names[of] ?? "");
    const services = one.services.map(buildService);
    for (const each of services) {
      names[each.id] = `${each.namespace}/${each.name}`;
      claims.update(expandService(each));
    }
    const loser = services.at(-1) as Service;
    const problems = claims.problems(loser);
    expect(problems.map(({ field, message }) => `${field}: ${message}`)).toEqual([...one.want]);
    expect(new Set(problems.map(({ field }) => field)).size).toBe(problems.length);
    for (const problem of problems) {
      expect(problem.code).toBe("FRONTEND_TAKEN");
      expect(problem.subject).toBe(`Service ${loser.namespace}/${loser.name}`);
    }
    expect(claims.problems(services[0] as Service)).toEqual([]);
  });
});

const ADDRESSES = ["10.96.0.1", "10.96.0.2", "fd00::1", "fd00::2"];
/** The order of names differs from the order of ids. */
const randomName = (number: number) => `ns/s${9 - number}`;
const arbitraryService = (number: number) =>
  fc
    .record({
      created: fc.integer({ min: 1, max: 3 }),
      clusterIPs: fc.subarray(ADDRESSES, { minLength: 1 }),
      externalIPs: fc.subarray(ADDRESSES),
      vips: fc.subarray(ADDRESSES),
      ports: fc.uniqueArray(
        fc.constantFrom("a tcp 80 30080", "b tcp 81 30081", "c udp 80 30080", "d tcp 80 30081"),
        { maxLength: 4 },
      ),
    })
    .map((text) =>
      buildService({ ...text, id: number, name: randomName(number), type: "NodePort" }),
    );
const IDS = [1, 2, 3, 4, 5];
const history = fc.array(
  fc
    .constantFrom(...IDS)
    .chain((number) => fc.tuple(fc.constant(number), fc.option(arbitraryService(number)))),
  { maxLength: 20 },
);

const keysOf = (one: Service) => [
  ...frontendsOf(one).map((frontend) => frontend.key),
  ...clusterIpsOf(one).map(({ bytes }) => addressKey(bytes)),
];

describe("for any history of Services", () => {
  test("the holder is always the oldest claimant", () => {
    assertProperty(
      "claims-holder",
      fc.property(history, (steps) => {
        const claims = new FrontendClaims(randomName);
        const present = new Map<number, Service>();
        for (const [number, next] of steps) {
          if (next) {
            claims.update(expandService(next));
            present.set(number, next);
          } else {
            claims.remove(id(number));
            present.delete(number);
          }
        }
        const services = [...present.values()];
        for (const key of new Set(services.flatMap(keysOf))) {
          const claimants = services.filter((one) => keysOf(one).includes(key));
          claimants.sort((a, b) => a.created - b.created || (a.name < b.name ? -1 : 1));
          const holders = IDS.filter((number) => claims.holds(id(number), key));
          expect(holders).toEqual([claimants[0]?.id as number]);
        }
        for (const one of services) {
          const lost = keysOf(one).some((key) => !claims.holds(one.id, key));
          expect(claims.problems(one).length > 0).toBe(lost);
        }
      }),
    );
  });

  test("each step names exactly the other Services that won or lost something", () => {
    assertProperty(
      "claims-changes",
      fc.property(history, (steps) => {
        const claims = new FrontendClaims(randomName);
        const keys = new Set(steps.flatMap(([, next]) => (next ? keysOf(next) : [])));
        const holdings = () =>
          new Map(
            IDS.map((number) => [
              number,
              [...keys].filter((key) => claims.holds(id(number), key)).join(),
            ]),
          );
        let before = holdings();
        for (const [number, next] of steps) {
          const named = next ? claims.update(expandService(next)) : claims.remove(id(number));
          const after = holdings();
          const changed = IDS.filter(
            (other) => other !== number && before.get(other) !== after.get(other),
          );
          expect([...named].sort()).toEqual(changed as ServiceId[]);
          before = after;
        }
      }),
    );
  });
});
