/**
 * Iterates over the operations of a diff, in the form that the core wrote them
 * (asm/layout/operation.ts).
 */

import { OP_ADD, OP_HEADER, OP_KIND, OP_OWNER, OP_TABLE } from "../../asm/layout/operation.ts";
import { readU8, readU32LE } from "../base/bytes.ts";
import type { OwnerId } from "./owner.ts";
import { keySize, type TableId, valueSize } from "./tables.ts";

/** One operation of a diff: an element to add to a table or to delete from it. */
export interface Operation {
  readonly kind: "add" | "delete";
  readonly table: TableId;
  readonly owner: OwnerId;
  /** Key and value bytes, valid until the next call into the core. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** The operations of one diff, in the core's linear memory. */
export interface OperationList {
  /** Number of operations, and their total size in bytes. */
  readonly count: number;
  readonly bytes: number;
  /** The raw records (asm/layout/operation.ts), for the encoder. */
  readonly region: Uint8Array;
  /**
   * Number of desired records that were dropped because an earlier record of the batch had the same
   * key. Not 0 means a bug in the plan.
   */
  readonly ignored: number;
  [Symbol.iterator](): Iterator<Operation>;
}

/** Wraps `region`, which must hold exactly `count` records. */
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

/** Counts the operations that add an element; all others delete one. */
export function countAdded(region: Uint8Array): number {
  let added = 0;
  for (let at = 0; at < region.byteLength; ) {
    if (region[at + OP_KIND] === OP_ADD) added++;
    const table = readU8(region, at + OP_TABLE) as TableId;
    at += OP_HEADER + keySize(table) + valueSize(table);
  }
  return added;
}

function readOperation(region: Uint8Array, at: number): Operation {
  const table = readU8(region, at + OP_TABLE) as TableId;
  const key = at + OP_HEADER;
  const value = key + keySize(table);
  return {
    kind: readU8(region, at + OP_KIND) === OP_ADD ? "add" : "delete",
    table,
    owner: readU32LE(region, at + OP_OWNER) as OwnerId,
    key: region.subarray(key, value),
    value: region.subarray(value, value + valueSize(table)),
  };
}
