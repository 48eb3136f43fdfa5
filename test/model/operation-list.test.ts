import { expect, test } from "bun:test";
import { OP_ADD, OP_DELETE, OP_HEADER, OP_KIND, OP_TABLE } from "../../asm/layout/operation.ts";
import { countAdded, readOperations } from "../../src/model/operation-list.ts";
import { keySize, TABLE_IDS, type TableId, valueSize } from "../../src/model/tables.ts";

/** One operation for each table, adding in every third. */
function region(): Uint8Array {
  const records = TABLE_IDS.map((table, index) => record(table, index % 3 === 0));
  return new Uint8Array(Buffer.concat(records));
}

function record(table: TableId, add: boolean): Uint8Array {
  const bytes = new Uint8Array(OP_HEADER + keySize(table) + valueSize(table)).fill(OP_ADD);
  bytes[OP_KIND] = add ? OP_ADD : OP_DELETE;
  bytes[OP_TABLE] = table;
  return bytes;
}

test("additions are counted, with any bytes in keys and values", () => {
  const bytes = region();
  const read = [...readOperations(bytes, TABLE_IDS.length, 0)];
  const added = read.filter(({ kind }) => kind === "add").length;
  expect(added).toBe(Math.ceil(TABLE_IDS.length / 3));
  expect(countAdded(bytes)).toBe(added);
  expect(countAdded(new Uint8Array())).toBe(0);
});
