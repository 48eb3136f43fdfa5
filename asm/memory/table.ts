// Open-addressing hash table of u32 items (ids or pointers, never 0), as a cursor: the caller compares
// keys, since it alone knows where an item keeps its own.
//
// Header, 12 bytes, zero at start:  0 u32 slots pointer · 4 u32 mask · 8 u32 items
// Slot, 8 bytes:                    0 u32 hash · 4 u32 item, 0 = empty
//
//   let slot = tableFirst(table, hash);
//   while (slotItem(slot)) {
//     if (slotHash(slot) == hash && …) break;
//     slot = tableNext(table, slot);
//   }
//
// Linear probing, at most 3/4 full; removal shifts back, so there are no tombstones.

import { allocate, release } from "./heap";

const TABLE_HEADER: usize = 12;
const SLOT: usize = 8;
const SLOTS_MIN: u32 = 16;
const emptySlot: usize = memory.data(8);

/** Where a search for `hash` begins. */
export function tableFirst(table: usize, hash: u32): usize {
  const slots: usize = load<u32>(table);
  return slots ? slots + <usize>(hash & load<u32>(table, 4)) * SLOT : emptySlot;
}

/** Where it goes on after `slot`. */
export function tableNext(table: usize, slot: usize): usize {
  const slots: usize = load<u32>(table);
  const next = slot + SLOT;
  return next > slots + <usize>load<u32>(table, 4) * SLOT ? slots : next;
}

export function slotHash(slot: usize): u32 {
  return load<u32>(slot);
}

export function slotItem(slot: usize): u32 {
  return load<u32>(slot, 4);
}

export function tableCount(table: usize): u32 {
  return load<u32>(table, 8);
}

/** Makes room for `more` items; false if memory cannot grow. Slots found before are void. */
export function tableReserve(table: usize, more: u32 = 1): bool {
  const slots: usize = load<u32>(table);
  const capacity = slots ? load<u32>(table, 4) + 1 : 0;
  const wanted = <u64>load<u32>(table, 8) + more;
  if (wanted * 4 <= <u64>capacity * 3) return true;
  let size: u64 = capacity ? capacity : SLOTS_MIN;
  while (wanted * 4 > size * 3) size <<= 1;
  if (size > 0x800_0000) return false;
  const bytes = <usize>size * SLOT;
  const fresh = allocate(bytes);
  if (!fresh) return false;
  memory.fill(fresh, 0, bytes);
  const mask = <u32>size - 1;
  for (let i: u32 = 0; i < capacity; i++) {
    const slot = slots + <usize>i * SLOT;
    if (!slotItem(slot)) continue;
    let at = slotHash(slot) & mask;
    while (load<u32>(fresh + <usize>at * SLOT, 4)) at = (at + 1) & mask;
    store<u64>(fresh + <usize>at * SLOT, load<u64>(slot));
  }
  release(slots, <usize>capacity * SLOT);
  store<u32>(table, fresh);
  store<u32>(table, mask, 4);
  return true;
}

/** Fills the empty slot at which a search ended. The room was reserved before the search. */
export function tableSet(table: usize, slot: usize, hash: u32, item: u32): void {
  store<u32>(slot, hash);
  store<u32>(slot, item, 4);
  store<u32>(table, load<u32>(table, 8) + 1, 8);
}

/** Empties a slot. Other slots found before are void. */
export function tableRemove(table: usize, slot: usize): void {
  const slots: usize = load<u32>(table);
  const mask = load<u32>(table, 4);
  let hole = <u32>((slot - slots) / SLOT);
  let at = hole;
  for (;;) {
    at = (at + 1) & mask;
    const from = slots + <usize>at * SLOT;
    if (!slotItem(from)) break;
    const home = slotHash(from) & mask;
    if (((at - home) & mask) < ((at - hole) & mask)) continue;
    store<u64>(slots + <usize>hole * SLOT, load<u64>(from));
    hole = at;
  }
  store<u64>(slots + <usize>hole * SLOT, 0);
  store<u32>(table, load<u32>(table, 8) - 1, 8);
}

/** Slots to walk over: `tableSlot(table, 0 … tableSlots - 1)`; empty ones have no item. */
export function tableSlots(table: usize): u32 {
  return load<u32>(table) ? load<u32>(table, 4) + 1 : 0;
}

export function tableSlot(table: usize, index: u32): usize {
  return <usize>load<u32>(table) + <usize>index * SLOT;
}

/** Frees the slots; the table is empty and usable again. */
export function tableClear(table: usize): void {
  if (load<u32>(table)) release(load<u32>(table), <usize>(load<u32>(table, 4) + 1) * SLOT);
  memory.fill(table, 0, TABLE_HEADER);
}
