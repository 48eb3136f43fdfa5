/**
 * Implements the part of the core that stores committed elements and compares them with desired
 * ones (asm/committed/).
 */

import {
  DEFINITION_FLAGS,
  DEFINITION_KEY_SIZE,
  DEFINITION_STRIDE,
  DEFINITION_VALUE_SIZE,
  PACKETS_BYTES,
  READ_HEADER,
  READ_OWNER,
  TABLE_LEADS,
  TABLE_NAMES_OWNER,
  TABLE_NODE_PORT_RANGES,
  TABLE_NUMBERED,
  TABLE_NUMBERS,
  TABLE_SLOTS,
} from "../../asm/layout/element.ts";
import { readOperations } from "../model/operation-list.ts";
import type { OwnerId } from "../model/owner.ts";
import { keySize, TABLES, type TableId, tableKind, valueSize } from "../model/tables.ts";
import type { Core } from "./core.ts";
import { type HeapExports, outOfMemory, type Wasm } from "./load.ts";

/** Exports of asm/index.ts for this part. Booleans arrive as 0 and 1. */
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
  resetCounters(table: number, count: number): void;
  countPackets(table: number, count: number): void;
  rewind(): void;
  readElements(table: number, most: number): number;
  ownerOf(table: number): number;
  valueAt(table: number): number;
  elementCount(table: number): number;
  elementTotal(): number;
  ownedElements(owner: number, most: number): number;
}

type DiffCalls = Pick<
  Core,
  | "reserveDesired"
  | "diff"
  | "commit"
  | "adopt"
  | "compare"
  | "resetCounters"
  | "elementCount"
  | "ownedElements"
  | "eachElement"
  | "ownerOf"
  | "committedValue"
  | "count"
>;

const TABLE_COUNT = TABLES.length * 2;
/** Number of elements that cross the boundary together when a table is read. */
const READ_AT_ONCE = 512;

/** @throws SluiceError CORE_MEMORY here, and from every function that allocates. */
export function diffCalls(wasm: Wasm<DiffExports>): DiffCalls {
  describeTables(wasm);
  return { ...diffFunctions(wasm), ...elementsOfKernel(wasm), ...elementsOfCore(wasm) };
}

function diffFunctions(
  wasm: Wasm<DiffExports>,
): Pick<DiffCalls, "reserveDesired" | "diff" | "commit" | "elementCount" | "ownedElements"> {
  const { exports } = wasm;
  return {
    reserveDesired(bytes) {
      const base = reserved("write desired records", bytes, exports.desiredRegion(bytes));
      return wasm.u8().subarray(base, base + bytes);
    },

    diff(bytes, owners) {
      const doing = `compare the elements of ${owners.length} owners`;
      const bytesOfOwners = owners.length * Uint32Array.BYTES_PER_ELEMENT;
      const base = reserved(doing, bytesOfOwners, exports.ownersRegion(owners.length));
      wasm.u32().set(owners, base >>> 2);
      if (!exports.diff(bytes, owners.length)) throw outOfMemory(doing, bytes);
      const from = exports.operationsPointer() >>> 0;
      const region = wasm.u8().subarray(from, from + exports.operationsBytes());
      return readOperations(region, exports.operationsCount(), exports.ignoredCount());
    },

    commit: () => exports.commit(),

    elementCount: (table) =>
      table === undefined ? exports.elementTotal() : exports.elementCount(table),

    ownedElements: (owner, most) => exports.ownedElements(owner, most) >>> 0,
  };
}

/** Functions that pass elements read from the kernel to the core. */
function elementsOfKernel(
  wasm: Wasm<DiffExports>,
): Pick<DiffCalls, "adopt" | "resetCounters" | "compare" | "count"> {
  const { exports } = wasm;
  return {
    adopt(table, keysAndValues, count) {
      const doing = `adopt ${count} elements`;
      handOver(wasm, doing, checked(keysAndValues, count, keySize(table) + valueSize(table)));
      if (!exports.adopt(table, count)) throw outOfMemory(doing, keysAndValues.byteLength);
    },

    resetCounters(table, keys, count) {
      const doing = `reset the counters of ${count} elements`;
      handOver(wasm, doing, checked(keys, count, keySize(table)));
      exports.resetCounters(table, count);
    },

    compare(table, keysAndValues, count) {
      const bytes = checked(keysAndValues, count, keySize(table) + valueSize(table));
      const base = handOver(wasm, `compare ${count} elements`, bytes);
      exports.compare(table, count);
      return new Int32Array(wasm.u8().buffer, base, count).slice();
    },

    count(table, keysAndPackets, count) {
      const bytes = checked(keysAndPackets, count, keySize(table) + PACKETS_BYTES);
      const base = handOver(wasm, `add the counters of ${count} elements`, bytes);
      exports.countPackets(table, count);
      return new Float64Array(wasm.u8().buffer, base, count).slice();
    },
  };
}

/** Functions that look up committed elements. */
function elementsOfCore(
  wasm: Wasm<DiffExports>,
): Pick<DiffCalls, "eachElement" | "ownerOf" | "committedValue"> {
  const { exports } = wasm;
  return {
    eachElement(table, each) {
      const key = keySize(table);
      const stride = READ_HEADER + key + valueSize(table);
      const base = exchangeRegion(wasm, "read elements", READ_AT_ONCE * stride);
      exports.rewind();
      for (;;) {
        const count = exports.readElements(table, READ_AT_ONCE);
        const memory = wasm.u8();
        for (let at = base; at < base + count * stride; at += stride) {
          const owner = wasm.u32()[(at + READ_OWNER) >>> 2] as OwnerId;
          const from = at + READ_HEADER;
          const value = memory.subarray(from + key, at + stride);
          each(memory.subarray(from, from + key), value, owner);
        }
        if (count < READ_AT_ONCE) return;
      }
    },

    ownerOf(table, key) {
      handOver(wasm, "look up an element", checked(key, 1, keySize(table)));
      const owner = exports.ownerOf(table);
      return owner < 0 ? undefined : (owner as OwnerId);
    },

    committedValue(table, key) {
      handOver(wasm, "look up an element", checked(key, 1, keySize(table)));
      const at = exports.valueAt(table) >>> 0;
      return at === 0 ? undefined : wasm.u8().slice(at, at + valueSize(table));
    },
  };
}

function reserved(doing: string, bytes: number, pointer: number): number {
  if (!pointer) throw outOfMemory(doing, bytes);
  return pointer >>> 0;
}

/** Returns the address of a region of `bytes` bytes through which core and host exchange data. */
function exchangeRegion(wasm: Wasm<DiffExports>, doing: string, bytes: number): number {
  return reserved(doing, bytes, wasm.exports.exchangeRegion(bytes));
}

/** Writes the bytes to the exchange region and returns its address. */
function handOver(wasm: Wasm<DiffExports>, doing: string, bytes: Uint8Array): number {
  const base = exchangeRegion(wasm, doing, bytes.byteLength);
  wasm.u8().set(bytes, base);
  return base;
}

function describeTables(wasm: Wasm<DiffExports>): void {
  const base = exchangeRegion(wasm, "define tables", TABLE_COUNT * DEFINITION_STRIDE);
  const memory = wasm.u8();
  for (let id = 0; id < TABLE_COUNT; id++) {
    const table = id as TableId;
    const { name, key, value } = tableKind(table);
    const flags =
      (value === "action" ? TABLE_NAMES_OWNER : 0) |
      (key.includes("slot") ? TABLE_SLOTS : 0) |
      (value === "number" ? TABLE_NUMBERS : 0) |
      (key.includes("number") ? TABLE_NUMBERED : 0) |
      (value === "action" && !name.endsWith("learn") ? TABLE_LEADS : 0) |
      (name === "node-port-ranges" ? TABLE_NODE_PORT_RANGES : 0);
    const at = base + id * DEFINITION_STRIDE;
    memory[at + DEFINITION_KEY_SIZE] = keySize(table);
    memory[at + DEFINITION_VALUE_SIZE] = valueSize(table);
    memory[at + DEFINITION_FLAGS] = flags;
  }
  wasm.exports.defineTables(base, TABLE_COUNT);
}

/** Returns `bytes` if it consists of `count` records of `size` bytes. */
function checked(bytes: Uint8Array, count: number, size: number): Uint8Array {
  if (bytes.byteLength === count * size) return bytes;
  throw new RangeError(
    `pass ${count} records to the core: invalid length ${bytes.byteLength}: must be ${count * size} bytes`,
  );
}
