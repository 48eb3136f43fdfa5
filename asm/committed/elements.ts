// Stores the tables of committed elements, which mirror the kernel's content as far as it is known.
// Each table is a hash table by key. Records never move, so a pointer identifies an element until
// it is removed.

import {
  DEFINITION_FLAGS,
  DEFINITION_KEY_SIZE,
  DEFINITION_STRIDE,
  DEFINITION_VALUE_SIZE,
} from "../layout/element";
import { sameBytes } from "../memory/bytes";
import { hash32 } from "../memory/hash";
import { allocate } from "../memory/heap";
import {
  slotHash,
  slotItem,
  TABLE_BYTES,
  tableFirst,
  tableNext,
  tableRemove,
  tableReserve,
  tableSet,
} from "../memory/table";
import {
  ELEMENT_EPOCH,
  ELEMENT_HEADER,
  ELEMENT_KEY,
  ELEMENT_NEXT,
  ELEMENT_OWNER,
  ELEMENT_PACKETS,
  ELEMENT_PREVIOUS,
  ELEMENT_TABLE,
} from "./element-record";
import { link, unlink } from "./owners";

export const MAX_TABLES: u32 = 64;
const KEY_MIN: u32 = 4;
export const KEY_MAX: u32 = 64;
const CHUNK_SMALLEST: u32 = 1024;
const CHUNK_LARGEST: u32 = 65536;

@unmanaged
export class Table {
  /** Header of a hash table (memory/table.ts) with elements as items. */
  slots: usize;
  mask: u32;
  count: u32;
  id: u32;
  keySize: u32;
  valueSize: u32;
  flags: u32;
  /** Unused records, linked by ELEMENT_NEXT. */
  vacant: usize;
  vacantCount: u32;
}

const TABLES: usize = memory.data(MAX_TABLES * offsetof<Table>());
let tableCount: u32 = 0;
let total: u32 = 0;

/** Reads the DEFINITION records of all tables. Called once. */
export function defineTables(definitions: usize, count: u32): void {
  assert(tableCount == 0 && count <= MAX_TABLES && offsetof<Table>("id") == TABLE_BYTES);
  for (let id: u32 = 0; id < count; id++) {
    const from = definitions + id * DEFINITION_STRIDE;
    const table = changetype<Table>(TABLES + id * offsetof<Table>());
    table.id = id;
    table.keySize = load<u8>(from, DEFINITION_KEY_SIZE);
    table.valueSize = load<u8>(from, DEFINITION_VALUE_SIZE);
    table.flags = load<u8>(from, DEFINITION_FLAGS);
    assert(table.keySize >= KEY_MIN && table.keySize <= KEY_MAX && (table.keySize & 3) == 0);
    assert((table.valueSize & 3) == 0);
  }
  tableCount = count;
}

/** All table ids are below this number. */
export function tableEnd(): u32 {
  return tableCount;
}

export function tableOf(id: u32): Table {
  assert(id < tableCount);
  return changetype<Table>(TABLES + id * offsetof<Table>());
}

/** Number of elements in all tables. */
export function elementTotal(): u32 {
  return total;
}

export function valueOf(table: Table, element: usize): usize {
  return element + ELEMENT_KEY + table.keySize;
}

export function hashKey(table: Table, key: usize): u32 {
  return hash32(key, table.keySize);
}

/** Returns the element with this key; 0 if there is none. */
export function find(table: Table, key: usize, hash: u32): usize {
  const header = changetype<usize>(table);
  const size = table.keySize;
  let slot = tableFirst(header, hash);
  for (let element: usize = slotItem(slot); element; element = slotItem(slot)) {
    if (slotHash(slot) == hash && sameBytes(element + ELEMENT_KEY, key, size)) return element;
    slot = tableNext(header, slot);
  }
  return 0;
}

/** Reserves room for `more` inserts. Returns false if memory cannot grow. */
export function reserve(table: Table, more: u32): bool {
  return tableReserve(changetype<usize>(table), more) && reserveRecords(table, more);
}

/** Adds an element with a new key. Call `reserve` before. */
export function insert(table: Table, owner: u32, key: usize, value: usize, hash: u32): usize {
  const element = table.vacant;
  assert(element);
  table.vacant = load<u32>(element, ELEMENT_NEXT);
  table.vacantCount--;
  store<u32>(element, 0, ELEMENT_EPOCH);
  store<u64>(element, 0, ELEMENT_PACKETS);
  store<u32>(element, table.id, ELEMENT_TABLE);
  memory.copy(element + ELEMENT_KEY, key, table.keySize);
  memory.copy(valueOf(table, element), value, table.valueSize);
  link(element, owner);
  const header = changetype<usize>(table);
  let slot = tableFirst(header, hash);
  while (slotItem(slot)) slot = tableNext(header, slot);
  tableSet(header, slot, hash, <u32>element);
  total++;
  return element;
}

/** Removes an element from its table and from its owner's list. */
export function remove(table: Table, element: usize, hash: u32): void {
  const header = changetype<usize>(table);
  let slot = tableFirst(header, hash);
  while (slotItem(slot) != <u32>element) slot = tableNext(header, slot);
  tableRemove(header, slot);
  unlink(element);
  store<u32>(element, <u32>table.vacant, ELEMENT_NEXT);
  table.vacant = element;
  table.vacantCount++;
  total--;
}

function reserveRecords(table: Table, more: u32): bool {
  const size = ELEMENT_HEADER + table.keySize + table.valueSize;
  while (table.vacantCount < more) {
    let bytes = CHUNK_SMALLEST;
    const wanted = max((table.count >> 1) * <u32>size, (more - table.vacantCount) * <u32>size);
    while (bytes < wanted && bytes < CHUNK_LARGEST) bytes <<= 1;
    const chunk = allocate(bytes);
    if (!chunk) return false;
    for (let at: usize = 0; at + size <= bytes; at += size) {
      store<u32>(chunk + at, <u32>table.vacant, ELEMENT_NEXT);
      table.vacant = chunk + at;
      table.vacantCount++;
    }
  }
  return true;
}
