/** The half of the core that remembers what is committed (asm/elements.ts) and compares (asm/diff.ts). */

import {
  TABLE_LEADS,
  TABLE_NAMES_OWNER,
  TABLE_NODE_ADDRESSES,
  TABLE_SLOTS,
} from "../../asm/layout/layout.ts";
import { readOperations } from "../model/operation-list.ts";
import { keySize, TABLES, type TableId, tableKind, valueSize } from "../model/tables.ts";
import type { Core } from "./core.ts";
import { type HeapExports, outOfMemory, type Wasm } from "./load.ts";

/** What asm/index.ts exports for this half. Booleans arrive as 0 and 1. */
export interface DiffExports extends HeapExports {
  defineTables(descriptors: number, count: number): void;
  desiredRegion(bytes: number): number;
  ownersRegion(count: number): number;
  diff(bytes: number, owners: number): number;
  commit(): void;
  operationsPointer(): number;
  operationsBytes(): number;
  operationsCount(): number;
  ignoredCount(): number;
  exchangeRegion(bytes: number): number;
  adopt(table: number, count: number): number;
  compare(table: number, count: number): void;
  madeAnew(table: number, count: number): void;
  countPackets(table: number, count: number): void;
  rewind(): void;
  readElements(table: number, most: number): number;
  ownerOf(table: number): number;
  valueAt(table: number): number;
  hasEndpoint(table: number): number;
  elementCount(table: number): number;
  elementTotal(): number;
  ownedElements(owner: number, most: number): number;
}

type DiffHalf = Pick<
  Core,
  | "reserveDesired"
  | "diff"
  | "commit"
  | "adopt"
  | "compare"
  | "madeAnew"
  | "elementCount"
  | "ownedElements"
  | "eachElement"
  | "ownerOf"
  | "committedValue"
  | "hasEndpoint"
  | "count"
>;

const TABLE_IDS = TABLES.length * 2;
/** Elements that cross the border together when a table is read. */
const READ_AT_ONCE = 512;

/** @throws SluiceError CORE_MEMORY here, and from every function that needs room. */
export function diffHalf(wasm: Wasm<DiffExports>): DiffHalf {
  const { exports } = wasm;
  const roomFor = (doing: string, bytes: number, pointer: number): number => {
    if (!pointer) throw outOfMemory(doing, bytes);
    return pointer >>> 0;
  };
  const exchange = (doing: string, bytes: number): number =>
    roomFor(doing, bytes, exports.exchangeRegion(bytes));
  const hand = (doing: string, bytes: Uint8Array): void => {
    const base = exchange(doing, bytes.byteLength);
    wasm.u8().set(bytes, base);
  };
  describeTables(wasm, exchange("describe the tables", TABLE_IDS * 4));

  return {
    reserveDesired(bytes) {
      const doing = "write desired records";
      const base = roomFor(doing, bytes, exports.desiredRegion(bytes));
      return wasm.u8().subarray(base, base + bytes);
    },

    diff(bytes, owners) {
      const doing = `compare the elements of ${owners.length} Services`;
      const base = roomFor(doing, owners.length * 4, exports.ownersRegion(owners.length));
      wasm.u32().set(owners, base >>> 2);
      if (!exports.diff(bytes, owners.length)) throw outOfMemory(doing, bytes);
      const from = exports.operationsPointer() >>> 0;
      const region = wasm.u8().subarray(from, from + exports.operationsBytes());
      return readOperations(region, exports.operationsCount(), exports.ignoredCount());
    },

    commit: () => exports.commit(),

    adopt(table, keysAndValues, count) {
      const doing = `adopt ${count} elements`;
      hand(doing, checked(keysAndValues, count, keySize(table) + valueSize(table)));
      if (!exports.adopt(table, count)) throw outOfMemory(doing, keysAndValues.byteLength);
    },

    madeAnew(table, keys, count) {
      hand(`start the counters of ${count} elements over`, checked(keys, count, keySize(table)));
      exports.madeAnew(table, count);
    },

    compare(table, keysAndValues, count) {
      const size = keySize(table) + valueSize(table);
      const doing = `compare ${count} elements`;
      const bytes = checked(keysAndValues, count, size);
      const base = exchange(doing, bytes.byteLength);
      wasm.u8().set(bytes, base);
      exports.compare(table, count);
      return new Int32Array(wasm.u8().buffer, base, count).slice();
    },

    count(table, keysAndPackets, count) {
      const doing = `count ${count} elements`;
      const bytes = checked(keysAndPackets, count, keySize(table) + 8);
      const base = exchange(doing, bytes.byteLength);
      wasm.u8().set(bytes, base);
      exports.countPackets(table, count);
      return new Float64Array(wasm.u8().buffer, base, count).slice();
    },

    elementCount: (table) =>
      table === undefined ? exports.elementTotal() : exports.elementCount(table),

    ownedElements: (owner, most) => exports.ownedElements(owner, most) >>> 0,

    eachElement(table, each) {
      const key = keySize(table);
      const stride = 4 + key + valueSize(table);
      const base = exchange("read elements", READ_AT_ONCE * stride);
      exports.rewind();
      for (;;) {
        const count = exports.readElements(table, READ_AT_ONCE);
        const memory = wasm.u8();
        for (let at = base; at < base + count * stride; at += stride) {
          const owner = wasm.u32()[at >>> 2] ?? 0;
          each(
            memory.subarray(at + 4, at + 4 + key),
            memory.subarray(at + 4 + key, at + stride),
            owner,
          );
        }
        if (count < READ_AT_ONCE) return;
      }
    },

    ownerOf(table, key) {
      hand("look up an element", checked(key, 1, keySize(table)));
      const owner = exports.ownerOf(table);
      return owner < 0 ? undefined : owner;
    },

    committedValue(table, key) {
      hand("look up an element", checked(key, 1, keySize(table)));
      const at = exports.valueAt(table) >>> 0;
      return at === 0 ? undefined : wasm.u8().slice(at, at + valueSize(table));
    },

    hasEndpoint(table, frontendKey, endpoint) {
      const key = checked(frontendKey, 1, keySize(table) - 4);
      const base = exchange("look up an endpoint", key.byteLength + endpoint.byteLength);
      wasm.u8().set(key, base);
      wasm.u8().set(checked(endpoint, 1, valueSize(table)), base + key.byteLength);
      return exports.hasEndpoint(table) !== 0;
    },
  };
}

function describeTables(wasm: Wasm<DiffExports>, base: number): void {
  const memory = wasm.u8();
  for (let id = 0; id < TABLE_IDS; id++) {
    const table = id as TableId;
    const { name, key, value } = tableKind(table);
    const flags =
      (value === "action" ? TABLE_NAMES_OWNER : 0) |
      (key.includes("slot") ? TABLE_SLOTS : 0) |
      (value === "action" && !name.endsWith("learn") ? TABLE_LEADS : 0) |
      (name === "node-addresses" ? TABLE_NODE_ADDRESSES : 0);
    memory.set([keySize(table), valueSize(table), flags, 0], base + id * 4);
  }
  wasm.exports.defineTables(base, TABLE_IDS);
}

/** `bytes`, if they are `count` records of `size`. */
function checked(bytes: Uint8Array, count: number, size: number): Uint8Array {
  if (bytes.byteLength === count * size) return bytes;
  throw new RangeError(
    `Cannot hand over ${count} records: each must be ${size} bytes: current value is ${bytes.byteLength} bytes`,
  );
}
