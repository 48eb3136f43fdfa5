import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  buildService,
  type ChoiceText,
  planText,
  type ServiceText,
} from "../../harness/plan/plan-text.ts";
import { arbitraryChoice, arbitraryText, NODE } from "../../harness/plan/random-services.ts";
import { assertProperty } from "../../harness/property.ts";
import { printAddress } from "../../src/net/address.ts";
import { PROTOCOLS, type Protocol } from "../../src/net/protocol.ts";
import { frontendsOf } from "../../src/state/frontends.ts";

const cluster = fc.array(fc.tuple(arbitraryText, arbitraryChoice), { maxLength: 5 });

function entries(texts: readonly (readonly [ServiceText, ChoiceText])[]) {
  return texts.map(([text, endpoints], i) => ({
    service: buildService({ ...text, id: i + 1, name: `ns/s${i}` }),
    endpoints,
  }));
}

/**
 * Table and key of a line: the part before the value and the owner. The core numbers endpoints, so
 * the line of a numbered endpoint is its key.
 */
const keyOf = (line: string) =>
  line.includes("numbered-") ? line : line.replace(/ (->.*|\([^(]*\))$/, "");
const protocolName = (protocol: Protocol) =>
  Object.entries(PROTOCOLS)
    .find(([, number]) => number === protocol)?.[0]
    .toLowerCase();

describe("for any Services", () => {
  test("no element is planned twice, by one Service or by two", () => {
    assertProperty(
      "plan-unique-keys",
      fc.property(cluster, (texts) => {
        const keys = planText(entries(texts), NODE).map(keyOf);
        expect(new Set(keys).size).toBe(keys.length);
      }),
    );
  });

  test("the plan does not depend on the order of the Services", () => {
    assertProperty(
      "plan-order",
      fc.property(cluster, (texts) => {
        const services = entries(texts);
        expect(planText([...services].reverse(), NODE)).toEqual(planText(services, NODE));
      }),
    );
  });

  test("a choice has its number of slots, and slots exist only with a choice", () => {
    assertProperty(
      "plan-slots",
      fc.property(cluster, (texts) => {
        const plan = planText(entries(texts), NODE);
        let slots = 0;
        for (const line of plan) {
          const choice = /^(\S+)([46]) (.*) -> (?:pick|recall) (\S+) (\d+)/.exec(line);
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

  test("every frontend of a Service is either served or refused", () => {
    assertProperty(
      "plan-frontends",
      fc.property(arbitraryText, arbitraryChoice, (text, endpoints) => {
        const one = buildService(text);
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
