/** The operations of a diff as the core wrote them (asm/layout.ts), read one by one. */

import { OP_ADD, OP_HEADER } from "../../asm/layout/layout.ts";

import { keySize, type TableId, valueSize } from "./tables.ts";

/** One operation of a delta: an element of a table to add or to delete. */
export interface Operation {
  readonly kind: "add" | "delete";
  readonly table: TableId;
  readonly owner: number;
  /** Key and value bytes, valid until the next call into the core. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** The operations of one diff, in linear memory. */
export interface OperationList {
  /** How many, and how long all of them are in bytes. */
  readonly count: number;
  readonly bytes: number;
  /** The raw records (asm/layout.ts), for the encoder. */
  readonly region: Uint8Array;
  /** Desired records that were left out because the batch had wanted their key before: a defect of the plan. */
  readonly ignored: number;
  [Symbol.iterator](): Iterator<Operation>;
}

/** A list over `region`, which holds `count` whole records and nothing else. */
export function readOperations(region: Uint8Array, count: number, ignored: number): OperationList {
  return {
    count,
    ignored,
    region,
    bytes: region.byteLength,
    *[Symbol.iterator]() {
      for (let at = 0; at < region.byteLength; ) {
        const operation = readOperation(region, at);
        at += OP_HEADER + operation.key.byteLength + operation.value.byteLength;
        yield operation;
      }
    },
  };
}

/** How many of the operations of a region add an element; the others delete one. */
export function countAdded(region: Uint8Array): number {
  let added = 0;
  for (let at = 0; at < region.byteLength; ) {
    if (region[at] === OP_ADD) added++;
    const table = byte(region, at + 1) as TableId;
    at += OP_HEADER + keySize(table) + valueSize(table);
  }
  return added;
}

function readOperation(region: Uint8Array, at: number): Operation {
  const table = byte(region, at + 1) as TableId;
  const key = at + OP_HEADER;
  const value = key + keySize(table);
  return {
    kind: byte(region, at) === OP_ADD ? "add" : "delete",
    table,
    owner:
      byte(region, at + 4) |
      (byte(region, at + 5) << 8) |
      (byte(region, at + 6) << 16) |
      (byte(region, at + 7) << 24),
    key: region.subarray(key, value),
    value: region.subarray(value, value + valueSize(table)),
  };
}

function byte(region: Uint8Array, at: number): number {
  const value = region[at];
  if (value === undefined)
    throw new RangeError(
      `Cannot read an operation: it must lie within ${region.byteLength} bytes: current value is ${at}`,
    );
  return value;
}
