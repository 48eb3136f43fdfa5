// Holds the state of one running diff. It marks the wanted committed elements by epoch, and records
// changes of owner, added keys, and the room that the commit needs.

import { TABLE_NAMES_OWNER } from "../layout/element";
import { OP_HEADER, OP_TABLE } from "../layout/operation";
import { OWNER_ADOPTED } from "../layout/owner";
import { sameBytes, word } from "../memory/bytes";
import { REGION_BYTES, region } from "../memory/region";
import {
  slotHash,
  slotItem,
  TABLE_BYTES,
  tableClear,
  tableFirst,
  tableNext,
  tableReserve,
  tableSet,
} from "../memory/table";
import { ELEMENT_EPOCH, ELEMENT_OWNER } from "./element-record";
import { MAX_TABLES, reserve, Table, tableOf, valueOf } from "./elements";
import { additionAt, addOperation, nextAddition, replaceOperation } from "./operations";

// Record TRANSFER, TRANSFER_STRIDE = 8 bytes: an element that changes owner
//    0 u32 ELEMENT: pointer    4 u32 OWNER: the new one
const TRANSFER_ELEMENT: usize = 0;
const TRANSFER_OWNER: usize = 4;
const TRANSFER_STRIDE: u32 = 8;

let epoch: u32 = 0;
let ignored: u32 = 0;
/** TRANSFER records. */
const transfers = region(memory.data(REGION_BYTES));
const ADDITIONS_BYTES: usize = MAX_TABLES << 2;
/**
 * Keys added by this batch: a hash table of memory/table.ts with items that are offsets of
 * additions + 1.
 */
const added: usize = memory.data(TABLE_BYTES);
/** A u32 per table: number of elements to add. */
const additions: usize = memory.data(ADDITIONS_BYTES);

export function beginBatch(): void {
  epoch++;
  transfers.clear();
  memory.fill(additions, 0, ADDITIONS_BYTES);
  ignored = 0;
  tableClear(added);
}

/** Number of desired records dropped because an earlier record of the batch had the same key. */
export function ignoredCount(): u32 {
  return ignored;
}

export function ignore(): void {
  ignored++;
}

export function isMarked(element: usize): bool {
  return load<u32>(element, ELEMENT_EPOCH) == epoch;
}

export function mark(element: usize): void {
  store<u32>(element, epoch, ELEMENT_EPOCH);
}

/** Reports whether this batch has already added the key. */
export function isAdded(table: Table, key: usize, hash: u32): bool {
  return slotItem(addedSlot(table, key, hash)) != 0;
}

/** Returns the value of the key that this batch has already added; 0 if it has not. */
export function addedValue(table: Table, key: usize, hash: u32): usize {
  const item = slotItem(addedSlot(table, key, hash));
  return item ? additionAt(item - 1) + OP_HEADER + table.keySize : 0;
}

/** Adds an element; if `unique`, stores its key for `isAdded`. */
export function add(
  table: Table,
  owner: u32,
  key: usize,
  value: usize,
  hash: u32,
  unique: bool,
): bool {
  if (unique) {
    if (!tableReserve(added)) return false;
    tableSet(added, addedSlot(table, key, hash), hash, nextAddition() + 1);
  }
  const counter = word(additions, table.id);
  store<u32>(counter, load<u32>(counter) + 1);
  return addOperation(table, owner, key, value);
}

/**
 * Marks a committed element as wanted: it stays, changes owner, or is replaced by its new value.
 */
export function keep(table: Table, element: usize, owner: u32, key: usize, value: usize): bool {
  mark(element);
  const present = load<u32>(element, ELEMENT_OWNER);
  const renamed =
    present != owner && present != OWNER_ADOPTED && (table.flags & TABLE_NAMES_OWNER) != 0;
  if (renamed || !sameBytes(valueOf(table, element), value, table.valueSize)) {
    return replaceOperation(table, owner, element) && addOperation(table, owner, key, value);
  }
  if (present == owner) return true;
  const at = transfers.extend(TRANSFER_STRIDE);
  if (!at) return false;
  store<u32>(at, <u32>element, TRANSFER_ELEMENT);
  store<u32>(at, owner, TRANSFER_OWNER);
  return true;
}

/** Replaces a committed element by its new value, and stores its key for `isAdded`. */
export function replace(
  table: Table,
  element: usize,
  owner: u32,
  key: usize,
  value: usize,
  hash: u32,
): bool {
  mark(element);
  return replaceOperation(table, owner, element) && add(table, owner, key, value, hash, true);
}

/** Reserves memory, so that the commit cannot run out of it. */
export function reserveAdditions(): bool {
  for (let id: u32 = 0; id < MAX_TABLES; id++) {
    const more = load<u32>(word(additions, id));
    if (more && !reserve(tableOf(id), more)) return false;
  }
  return true;
}

export function transferCount(): u32 {
  return transfers.length / TRANSFER_STRIDE;
}

export function transferElement(index: u32): usize {
  return load<u32>(transferAt(index), TRANSFER_ELEMENT);
}

export function transferOwner(index: u32): u32 {
  return load<u32>(transferAt(index), TRANSFER_OWNER);
}

function transferAt(index: u32): usize {
  return transfers.base + index * TRANSFER_STRIDE;
}

// Returns the slot with the key, or the empty slot where the search ended.
function addedSlot(table: Table, key: usize, hash: u32): usize {
  let slot = tableFirst(added, hash);
  for (let item = slotItem(slot); item; item = slotItem(slot)) {
    if (slotHash(slot) == hash) {
      const operation = additionAt(item - 1);
      const sameTable = load<u8>(operation, OP_TABLE) == table.id;
      if (sameTable && sameBytes(operation + OP_HEADER, key, table.keySize)) return slot;
    }
    slot = tableNext(added, slot);
  }
  return slot;
}
