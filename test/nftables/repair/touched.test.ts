import { describe, expect, test } from "bun:test";
import { keySize, tableId } from "../../../src/model/tables.ts";
import { TOUCHED_KEYS_MAX, TouchedObjects } from "../../../src/nftables/repair/touched.ts";

const ID = tableId("endpoints", 4);
const OTHER = tableId("frontends", 4);
const CHANGE = { what: "elements of endpoints4", by: "nft (pid 7)", objects: [] };

/** One transaction with this many changed keys. */
function touching(count: number): TouchedObjects {
  const touched = new TouchedObjects();
  for (let i = 0; i < count; i++) touched.addKey(ID, new Uint8Array(keySize(ID)), 0, keySize(ID));
  return touched;
}

describe("changed keys are kept", () => {
  test.each([
    [[1], 1],
    [[1, 2], 3],
    [[TOUCHED_KEYS_MAX], TOUCHED_KEYS_MAX],
    [[TOUCHED_KEYS_MAX - 1, 1], TOUCHED_KEYS_MAX],
  ])("of transactions with %p of them", (counts, kept) => {
    const touched = new TouchedObjects();
    for (const count of counts) touched.addChange(touching(count), CHANGE, 0);
    expect(touched.keys.get(ID)?.length).toBe(kept * keySize(ID));
    expect(touched.wholeTables.size).toBe(0);
  });

  test.each([
    ["in one transaction", [TOUCHED_KEYS_MAX + 1]],
    ["in one after the other", Array.from({ length: 9 }, () => TOUCHED_KEYS_MAX / 8)],
    ["and not those that come afterwards", [TOUCHED_KEYS_MAX, 1, 1]],
  ])("or the whole table, if they are too many: %s", (_, counts) => {
    const touched = new TouchedObjects();
    for (const count of counts) touched.addChange(touching(count), CHANGE, 0);
    expect([touched.keys.size, [...touched.wholeTables]]).toEqual([0, [ID]]);
  });

  test("of one table, regardless of others", () => {
    const touched = touching(TOUCHED_KEYS_MAX + 1);
    touched.addKey(OTHER, new Uint8Array(keySize(OTHER)), 0, keySize(OTHER));
    expect([[...touched.keys.keys()], [...touched.wholeTables]]).toEqual([[OTHER], [ID]]);
  });
});
