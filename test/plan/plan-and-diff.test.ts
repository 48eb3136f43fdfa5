/**
 * Runs the plan and the core's diff together. After any history, the committed elements match the
 * plan.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { createTestCore, type TestCore } from "../../harness/core/test-core.ts";
import {
  buildContext,
  buildService,
  type ChoiceText,
  Memory,
  planText,
} from "../../harness/plan/plan-text.ts";
import { printElement } from "../../harness/plan/print-elements.ts";
import { arbitraryChoice, arbitraryText, NODE } from "../../harness/plan/random-services.ts";
import { assertProperty } from "../../harness/property.ts";
import { OWNER_NODE } from "../../src/model/owner.ts";
import type { Service, ServiceId } from "../../src/model/service.ts";
import { TABLES, type TableId } from "../../src/model/tables.ts";
import { DesiredWriter } from "../../src/plan/desired.ts";
import { planNode, planService } from "../../src/plan/plan.ts";
import { FrontendClaims } from "../../src/state/claims.ts";
import { expandService } from "../../src/state/frontends.ts";

const NAMES = ["ns/s1", "ns/s2", "ns/s3"];
/** Desired records come first, endpoints after them. */
const ENDPOINTS_AT = 1 << 20;

/** Changes one Service at a time, or removes it. */
const history = fc.array(
  fc.tuple(fc.nat(NAMES.length - 1), fc.option(fc.tuple(arbitraryText, arbitraryChoice))),
  { minLength: 1, maxLength: 8 },
);

type Present = Map<string, { service: Service; endpoints: ChoiceText }>;

/** Plans and commits these owners. Returns the number of operations. */
function sync(
  core: TestCore,
  present: Present,
  claims: FrontendClaims,
  owners: readonly ServiceId[],
): number {
  const base = core.reserveDesired(2 * ENDPOINTS_AT).byteOffset + ENDPOINTS_AT;
  const memory = new Memory();
  const writer = new DesiredWriter((bytes) => core.reserveDesired(bytes));
  const plan = buildContext(claims, NODE);
  planNode(plan, writer);
  const entries = [...present.values()];
  // The core reads records in the order of the owners.
  for (const owner of owners) {
    const entry = entries.find((each) => each.service.id === owner);
    if (entry === undefined) continue;
    const { service: one, endpoints } = entry;
    const choices = memory.choices(one, endpoints).map((choice) => ({
      ...choice,
      cluster: { ...choice.cluster, pointer: choice.cluster.pointer + base },
      local: { ...choice.local, pointer: choice.local.pointer + base },
    }));
    planService(expandService(one), choices, plan, writer);
  }
  core.wasm.u8().set(memory.bytes, base);
  const { count } = core.diff(writer.bytes, [OWNER_NODE, ...owners]);
  core.commit();
  return count;
}

function committed(core: TestCore, nameOf: (owner: number) => string): string[] {
  const lines: string[] = [];
  for (let table = 0; table < TABLES.length * 2; table++) {
    core.eachElement(table as TableId, (key, value, owner) => {
      lines.push(printElement(table as TableId, key, value, nameOf(owner)));
    });
  }
  return lines.sort();
}

/**
 * The slot and the number of an endpoint depend on the history. The set of slots 0, 1, … does not.
 * `diff-history.test.ts` compares the numbers by endpoint with the endpoints by number.
 */
function slotsApart(lines: readonly string[]): { elements: string[]; slots: string[] } {
  return {
    elements: lines
      .filter((line) => !line.includes("endpoint-numbers"))
      .map((line) => line.replace(/ (slot|number) \d+/, ""))
      .sort(),
    slots: lines
      .filter((line) => line.includes(" slot "))
      .map((line) => line.split(" -> ")[0] ?? ""),
  };
}

test("after any history the committed elements match the plan, and planning again changes nothing", () => {
  assertProperty(
    "plan-and-diff",
    fc.property(history, (steps) => {
      const core = createTestCore("debug");
      const ids = NAMES.map((name) => core.service(name));
      const nameOf = (owner: number) =>
        owner === OWNER_NODE ? "node" : (NAMES[ids.indexOf(owner as ServiceId)] ?? "nobody");
      const claims = new FrontendClaims(nameOf);
      const present: Present = new Map();
      for (const [number, next] of steps) {
        const id = ids[number] as ServiceId;
        const name = NAMES[number] as string;
        let others: readonly ServiceId[];
        if (next) {
          const one = buildService({ ...next[0], id, name });
          present.set(name, { service: one, endpoints: next[1] });
          others = claims.update(expandService(one));
        } else {
          present.delete(name);
          others = claims.remove(id);
        }
        sync(core, present, claims, [id, ...others]);
      }
      const want = planText([...present.values()], NODE);
      expect(slotsApart(committed(core, nameOf))).toEqual(slotsApart(want));
      expect(sync(core, present, claims, ids)).toBe(0);
    }),
    60,
  );
});
