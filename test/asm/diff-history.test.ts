import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { BUILDS, createTestCore } from "../../harness/core/test-core.ts";
import { assertProperty, PROPERTY_LIMIT_MS } from "../../harness/property.ts";
import {
  type Batch,
  checkBatch,
  fewestOperations,
  KernelModel,
} from "../../harness/specification/diff.ts";
import type { OperationList } from "../../src/model/operation-list.ts";
import { OWNER_NODE } from "../../src/model/owner.ts";
import { tableId } from "../../src/model/tables.ts";
import {
  clusterIPs,
  committed,
  diffBatch,
  element,
  frontend,
  frontends,
  isSlots,
  NUMBERS,
  numbers,
  range,
  slots,
} from "./diff-batches.ts";

// Bun's default of 5 s is too short for hundreds of random histories on a busy machine.
setDefaultTimeout(PROPERTY_LIMIT_MS);

const OWNERS = 4;
const NODE_PORT_NUMBERS = [
  tableId("nodeport-endpoint-numbers", 6),
  tableId("nodeport-numbered-endpoints", 6),
  tableId("nodeport-numbered-local-endpoints", 6),
] as const;
const TABLES_TRIED = [
  frontends,
  clusterIPs,
  tableId("allowed-sources", 6),
  slots,
  tableId("nodeport-local-endpoints", 6),
  NUMBERS[0],
  NODE_PORT_NUMBERS[0],
];
const desiredState = fc.record({
  table: fc.constantFrom(...TABLES_TRIED),
  key: fc.nat(5),
  value: fc.nat(2),
  endpoints: fc.array(fc.nat(12), { maxLength: 24 }),
  outside: fc.array(fc.nat(12), { maxLength: 6 }),
  owner: fc.nat(OWNERS),
});
const step = fc.record({
  wishes: fc.array(desiredState, { maxLength: 20 }),
  synced: fc.uniqueArray(fc.nat(OWNERS), { minLength: 1 }),
  applied: fc.boolean(),
});

/** Reports whether each owner's operations are contiguous and in the order of the batch. */
function inOrder(operations: OperationList, batch: Batch): boolean {
  let index = 0;
  for (const { owner } of operations) {
    while (index < batch.length && batch[index]?.owner !== owner) index++;
    if (index === batch.length) return false;
  }
  return true;
}

for (const build of BUILDS)
  describe(`histories of diffs (${build})`, () => {
    test("the result is the desired state, with the least number of operations", () => {
      assertProperty(
        "diff-history",
        fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
          const core = createTestCore(build);
          const owners = [OWNER_NODE, ...range(OWNERS).map((n) => core.service(`default/${n}`))];
          const kernel = new KernelModel();
          for (const { wishes, synced, applied } of steps) {
            const batch = batchOf(wishes, synced, owners);
            const before = new Map(kernel.elements);
            const operations = diffBatch(core, batch);
            expect(inOrder(operations, batch)).toBe(true);
            expect(operations.count).toBe(fewestOperations(before, batch));
            expect(committed(core)).toEqual(before);
            if (!applied) continue;
            kernel.apply(operations);
            core.commit();
            checkBatch(committed(core), batch, before);
            // The kernel does not know changes of owner that change no element.
            expect(values(committed(core))).toEqual(values(kernel.elements));
            kernel.adoptOwners(committed(core));
            expect(core.elementCount()).toBe(kernel.elements.size);
            expect(diffBatch(core, batch).count).toBe(0);
          }
        }),
        { numRuns: build === "debug" ? 150 : 500, variant: build },
      );
    });
  });

type DesiredState = typeof desiredState extends fc.Arbitrary<infer Value> ? Value : never;

/**
 * A key belongs to one owner at a time, as the plan guarantees. The owner may change between
 * batches.
 */
function batchOf(
  wishes: readonly DesiredState[],
  synced: readonly number[],
  owners: readonly number[],
): Batch {
  const byKey = new Map(wishes.map((each) => [`${each.table} ${each.key}`, each]));
  return synced.map((index) => ({
    owner: owners[index] ?? OWNER_NODE,
    records: [...byKey.values()]
      .filter(({ owner }) => owner === index)
      .map(({ table, key, value, endpoints, outside }) => {
        const tables = [NUMBERS, NODE_PORT_NUMBERS].find(([one]) => one === table);
        if (tables !== undefined) return numbers(key, endpoints, outside, tables);
        return isSlots(table) ? frontend(key, endpoints, table) : element(table, key, value);
      }),
  }));
}

function values(elements: KernelModel["elements"]): Map<string, string> {
  return new Map([...elements].map(([name, { value }]) => [name, value] as const).sort());
}
