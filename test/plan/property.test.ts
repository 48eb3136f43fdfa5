import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { printAddress } from "../../src/address.ts";
import { frontendKey, frontendsOf } from "../../src/state/frontends.ts";
import { PROTOCOLS, type Protocol } from "../../src/types.ts";
import { type ChoiceText, ip, planText, type ServiceText, service } from "./fixture.ts";

const ADDRESSES = ["10.96.0.1", "10.96.0.2", "10.96.0.3", "fd00::1", "fd00::2"];
const ENDPOINTS = ["10.1.0.5:80", "10.1.0.6:80", "[fd00:1::5]:80", "[fd00:1::6]:80"];
const RANGES = ["10.0.0.0/8", "10.96.0.0/16", "192.168.0.0/24", "0.0.0.0/0", "fd00::/8", "::/0"];
const PORTS = ["a tcp 80 30080", "b tcp 81 30081", "c udp 80 30080", "a tcp 81", "d sctp 80 30080"];

const arbitraryText: fc.Arbitrary<ServiceText> = fc.record({
  created: fc.integer({ min: 1, max: 3 }),
  type: fc.constantFrom("ClusterIP", "NodePort", "LoadBalancer"),
  clusterIPs: fc.subarray(ADDRESSES, { minLength: 1 }),
  externalIPs: fc.subarray(ADDRESSES),
  vips: fc.subarray(ADDRESSES),
  sourceRanges: fc.subarray(RANGES),
  ports: fc.subarray(PORTS),
  eTP: fc.constantFrom("Local", "Cluster"),
  iTP: fc.constantFrom("Local", "Cluster"),
  affinity: fc.constantFrom(0, 60),
});
// Selection never leaves the cluster's choice empty where there is a local one.
const arbitraryChoice: fc.Arbitrary<ChoiceText> = fc
  .record({ cluster: fc.subarray(ENDPOINTS), local: fc.subarray(ENDPOINTS), usable: fc.boolean() })
  .map(({ cluster, local, usable }) => {
    const missing = (v6: boolean) =>
      cluster.some((text) => text.startsWith("[") === v6)
        ? []
        : local.filter((text) => text.startsWith("[") === v6);
    const all = [...cluster, ...missing(false), ...missing(true)];
    return usable ? { cluster: all, local, usable } : { cluster: all, local };
  });
const cluster = fc.array(fc.tuple(arbitraryText, arbitraryChoice), { maxLength: 5 });

function entries(texts: readonly (readonly [ServiceText, ChoiceText])[]) {
  return texts.map(([text, endpoints], i) => ({
    service: service({ ...text, id: i + 1, name: `ns/s${i}` }),
    endpoints,
  }));
}

/** Table and key of a line: what stands before the value and the owner. */
const keyOf = (line: string) => line.replace(/ (->.*|\([^(]*\))$/, "");
const protocolName = (protocol: Protocol) =>
  Object.entries(PROTOCOLS)
    .find(([, number]) => number === protocol)?.[0]
    .toLowerCase();
const NODE = { primary: ["192.168.0.10", "fd00:9::1"] };

describe("for any Services", () => {
  test("no element is planned twice, by one Service or by two", () => {
    fc.assert(
      fc.property(cluster, (texts) => {
        const keys = planText(entries(texts), NODE).map(keyOf);
        expect(new Set(keys).size).toBe(keys.length);
      }),
    );
  });

  test("the plan does not depend on the order of the Services", () => {
    fc.assert(
      fc.property(cluster, (texts) => {
        const services = entries(texts);
        expect(planText([...services].reverse(), NODE)).toEqual(planText(services, NODE));
      }),
    );
  });

  test("as many slots stand behind a choice as it says, and none without one", () => {
    fc.assert(
      fc.property(cluster, (texts) => {
        const plan = planText(entries(texts), NODE);
        let slots = 0;
        for (const line of plan) {
          const choice = /^(\S+)([46]) (.*) -> (?:pick|sticky) (\S+) (\d+)/.exec(line);
          if (!choice) continue;
          const [, , family, key, source, count] = choice;
          const behind = plan.filter((other) =>
            other.startsWith(`${source}${family} ${key} slot `),
          );
          expect(behind.length).toBe(Number(count));
          slots += behind.length;
        }
        expect(plan.filter((line) => line.includes(" slot ")).length).toBe(slots);
      }),
    );
  });

  test("every frontend a Service holds is either served or refused", () => {
    fc.assert(
      fc.property(arbitraryText, arbitraryChoice, (text, endpoints) => {
        const one = service(text);
        const plan = planText([{ service: one, endpoints }], NODE);
        for (const { address, family, protocol, port } of frontendsOf(one)) {
          const key = `${protocolName(protocol)} ${port} ->`;
          const served = address
            ? [`frontends${family}`, `no-endpoints${family}`].map(
                (table) => `${table} ${printAddress(address.bytes)} ${key}`,
              )
            : [`nodeports${family} ${key}`, `nodeports-no-endpoints${family} ${key}`];
          expect(plan.some((line) => served.some((start) => line.startsWith(start)))).toBe(true);
        }
      }),
    );
  });
});

describe("a frontend's key", () => {
  const arbitraryFrontend = fc.tuple(
    fc.constantFrom<4 | 6>(4, 6),
    fc.option(fc.constantFrom(...ADDRESSES, "255.255.255.255", "0.0.0.0", "128.0.0.0")),
    fc.constantFrom<Protocol | 0>(0, PROTOCOLS.TCP, PROTOCOLS.UDP, PROTOCOLS.SCTP),
    fc.constantFrom(0, 1, 80, 30080, 65535),
  );
  const keyAndText = ([family, text, protocol, port]: [
    4 | 6,
    string | null,
    Protocol | 0,
    number,
  ]) => {
    const address = text === null ? undefined : ip(text);
    const of = address?.family ?? family;
    return {
      key: frontendKey(of, address, protocol, port),
      text: `${of} ${text} ${protocol} ${port}`,
    };
  };

  test("is equal exactly when the frontends are", () => {
    fc.assert(
      fc.property(arbitraryFrontend, arbitraryFrontend, (a, b) => {
        const [one, other] = [keyAndText(a), keyAndText(b)];
        expect(one.key === other.key).toBe(one.text === other.text);
      }),
      { numRuns: 1000 },
    );
  });
});
