// Implements an open-addressing hash table of u32 items (ids or pointers, never 0), with a cursor
// as its interface. The caller compares keys, because only the caller knows where an item stores
// its key.
//
//   let slot = tableFirst(table, hash);
//   while (slotItem(slot)) {
//     if (slotHash(slot) == hash && …) break;
//     slot = tableNext(table, slot);
//   }
//
// It uses linear probing and is at most 3/4 full. Removal shifts items back, so there are no
// tombstones.

import { allocate, release } from "./heap";

// Record HEADER, TABLE_BYTES = 12 bytes: zero at start, so static memory is an empty table
//    0 u32 SLOTS: pointer, 0 = none yet    4 u32 MASK: slots - 1    8 u32 ITEMS
const HEADER_SLOTS: usize = 0;
const HEADER_MASK: usize = 4;
const HEADER_ITEMS: usize = 8;
export const TABLE_BYTES: usize = 12;

// Record SLOT, SLOT_BYTES = 8 bytes:
//    0 u32 HASH    4 u32 ITEM: 0 = empty
const SLOT_HASH: usize = 0;
const SLOT_ITEM: usize = 4;
const SLOT_BYTES: usize = 8;

const SLOTS_MIN: u32 = 16;
const SLOTS_MAX: u64 = 0x800_0000;
/** Ends every search in a table without slots. */
const emptySlot: usize = memory.data(SLOT_BYTES);

/** Returns the slot where a search for `hash` starts. */
export function tableFirst(table: usize, hash: u32): usize {
  const slots: usize = load<u32>(table, HEADER_SLOTS);
  return slots ? slots + <usize>(hash & load<u32>(table, HEADER_MASK)) * SLOT_BYTES : emptySlot;
}

/** Returns the slot after `slot` in the search. */
export function tableNext(table: usize, slot: usize): usize {
  const slots: usize = load<u32>(table, HEADER_SLOTS);
  const next = slot + SLOT_BYTES;
  return next > slots + <usize>load<u32>(table, HEADER_MASK) * SLOT_BYTES ? slots : next;
}

export function slotHash(slot: usize): u32 {
  return load<u32>(slot, SLOT_HASH);
}

export function slotItem(slot: usize): u32 {
  return load<u32>(slot, SLOT_ITEM);
}

export function tableCount(table: usize): u32 {
  return load<u32>(table, HEADER_ITEMS);
}

/**
 * Makes room for `more` items; returns false if memory cannot grow. Invalidates slots found before.
 */
export function tableReserve(table: usize, more: u32 = 1): bool {
  const slots: usize = load<u32>(table, HEADER_SLOTS);
  const capacity = slots ? load<u32>(table, HEADER_MASK) + 1 : 0;
  const wanted = <u64>load<u32>(table, HEADER_ITEMS) + more;
  if (wanted * 4 <= <u64>capacity * 3) return true;
  let size: u64 = capacity ? capacity : SLOTS_MIN;
  while (wanted * 4 > size * 3) size <<= 1;
  if (size > SLOTS_MAX) return false;
  const bytes = <usize>size * SLOT_BYTES;
  const fresh = allocate(bytes);
  if (!fresh) return false;
  memory.fill(fresh, 0, bytes);
  const mask = <u32>size - 1;
  for (let i: u32 = 0; i < capacity; i++) {
    const slot = slots + <usize>i * SLOT_BYTES;
    if (!slotItem(slot)) continue;
    let at = slotHash(slot) & mask;
    while (slotItem(fresh + <usize>at * SLOT_BYTES)) at = (at + 1) & mask;
    moveSlot(fresh + <usize>at * SLOT_BYTES, slot);
  }
  release(slots, <usize>capacity * SLOT_BYTES);
  store<u32>(table, fresh, HEADER_SLOTS);
  store<u32>(table, mask, HEADER_MASK);
  return true;
}

/** Fills the empty slot where a search ended. Reserve the room before the search. */
export function tableSet(table: usize, slot: usize, hash: u32, item: u32): void {
  store<u32>(slot, hash, SLOT_HASH);
  store<u32>(slot, item, SLOT_ITEM);
  store<u32>(table, tableCount(table) + 1, HEADER_ITEMS);
}

/** Empties a slot. Invalidates other slots found before. */
export function tableRemove(table: usize, slot: usize): void {
  const slots: usize = load<u32>(table, HEADER_SLOTS);
  const mask = load<u32>(table, HEADER_MASK);
  let hole = <u32>((slot - slots) / SLOT_BYTES);
  let at = hole;
  for (;;) {
    at = (at + 1) & mask;
    const from = slots + <usize>at * SLOT_BYTES;
    if (!slotItem(from)) break;
    const home = slotHash(from) & mask;
    if (((at - home) & mask) < ((at - hole) & mask)) continue;
    moveSlot(slots + <usize>hole * SLOT_BYTES, from);
    hole = at;
  }
  store<u64>(slots + <usize>hole * SLOT_BYTES, 0, SLOT_HASH);
  store<u32>(table, tableCount(table) - 1, HEADER_ITEMS);
}

/**
 * Number of slots to iterate over: `tableSlot(table, 0 … tableSlots - 1)`. Empty slots have no
 * item.
 */
export function tableSlots(table: usize): u32 {
  return load<u32>(table, HEADER_SLOTS) ? load<u32>(table, HEADER_MASK) + 1 : 0;
}

export function tableSlot(table: usize, index: u32): usize {
  return <usize>load<u32>(table, HEADER_SLOTS) + <usize>index * SLOT_BYTES;
}

/** Frees the slots; the table is then empty and can be used again. */
export function tableClear(table: usize): void {
  release(load<u32>(table, HEADER_SLOTS), <usize>tableSlots(table) * SLOT_BYTES);
  memory.fill(table, 0, TABLE_BYTES);
}

/** Copies hash and item as one u64. */
function moveSlot(to: usize, from: usize): void {
  store<u64>(to, load<u64>(from, SLOT_HASH), SLOT_HASH);
}
