// Stores each set of topology hints once, because thousands of endpoints share a handful of sets.

import {
  HINT_NODES,
  HINT_THIS_NODE,
  HINT_THIS_ZONE,
  HINT_ZONES,
  HINTS_FLAGS,
  HINTS_HASH,
  HINTS_HEADER,
  HINTS_HOLDERS,
  HINTS_ZONES,
} from "../layout/slice";
import { sameBytes, word, wordsBytes } from "../memory/bytes";
import { hash32 } from "../memory/hash";
import { allocate, release } from "../memory/heap";
import { NAME_NONE, nameDrop, nameHold, nameKeep } from "../memory/names";
import {
  slotHash,
  slotItem,
  TABLE_BYTES,
  tableFirst,
  tableNext,
  tableRemove,
  tableReserve,
  tableSet,
  tableSlot,
  tableSlots,
} from "../memory/table";

// Record RECALL, RECALL_STRIDE = 128 bytes: the bytes of a message that stood for a set lately
//    0 u32 SET: HINTS record, 0 = none    4 u32 LENGTH    8 u8[RECALL_MAX] MESSAGE
const RECALL_SET: usize = 0;
const RECALL_LENGTH: usize = 4;
const RECALL_MESSAGE: usize = 8;
const RECALL_STRIDE: usize = 128;
/** Longer messages are not cached. */
const RECALL_MAX: u32 = 120;
const RECALLS: u32 = 32;
/** The upper bits of a hash select one of the RECALLS entries. */
const RECALL_SHIFT: u32 = 27;

const recall: usize = memory.data(RECALLS * RECALL_STRIDE);
const table: usize = memory.data(TABLE_BYTES);
let zone: u32 = 0;

/** Returns the HINT_* bits of a set; 0 if `hints` is 0. */
export function hintFlags(hints: usize): u32 {
  return hints ? load<u32>(hints, HINTS_FLAGS) : 0;
}

/**
 * Returns the set of these zones and node flags, and takes a reference to it. `zones` points to
 * `count` distinct, sorted name ids. Returns 0 if memory cannot grow or if the set is empty.
 */
export function holdHints(zones: usize, count: u32, nodes: u32): usize {
  if (!count && !nodes) return 0;
  const bytes = wordsBytes(count);
  const hash = hash32(zones, bytes) ^ (nodes << 24);
  let slot = tableFirst(table, hash);
  for (let item: usize = slotItem(slot); item; item = slotItem(slot)) {
    if (slotHash(slot) == hash && isSet(item, zones, count, nodes)) {
      addHolder(item);
      return item;
    }
    slot = tableNext(table, slot);
  }
  if (!tableReserve(table)) return 0;
  const fresh = allocate(HINTS_HEADER + bytes);
  if (!fresh) return 0;
  store<u32>(fresh, hash, HINTS_HASH);
  store<u32>(fresh, 1, HINTS_HOLDERS);
  store<u32>(fresh, nodes | (count ? HINT_ZONES : 0), HINTS_FLAGS);
  store<u32>(fresh, count, HINTS_ZONES);
  memory.copy(fresh + HINTS_HEADER, zones, bytes);
  for (let i: u32 = 0; i < count; i++) nameKeep(load<u32>(word(zones, i)));
  updateThisZone(fresh);
  slot = tableFirst(table, hash);
  while (slotItem(slot)) slot = tableNext(table, slot);
  tableSet(table, slot, hash, <u32>fresh);
  return fresh;
}

/**
 * Returns the cached set for these bytes of an EndpointHints message, and takes a reference to it;
 * 0 if it is not cached. A cluster has few sets and thousands of endpoints, so most messages need
 * no parsing.
 */
export function recallHints(at: usize, length: usize): usize {
  if (length > RECALL_MAX) return 0;
  const entry = recallEntry(at, length);
  const hints: usize = load<u32>(entry, RECALL_SET);
  if (!hints || <usize>load<u32>(entry, RECALL_LENGTH) != length) return 0;
  if (!sameBytes(entry + RECALL_MESSAGE, at, length)) return 0;
  addHolder(hints);
  return hints;
}

/** Caches the set for these bytes, until any set is freed or another message takes the entry. */
export function rememberHints(at: usize, length: usize, hints: usize): void {
  if (length > RECALL_MAX) return;
  const entry = recallEntry(at, length);
  store<u32>(entry, hints, RECALL_SET);
  store<u32>(entry, length, RECALL_LENGTH);
  memory.copy(entry + RECALL_MESSAGE, at, length);
}

function recallEntry(at: usize, length: usize): usize {
  const step = sizeof<u32>();
  let mixed = <u32>length;
  for (let i: usize = 0; i + step <= length; i += step) mixed = mix(mixed, load<u32>(at + i));
  if (length >= step) mixed = mix(mixed, load<u32>(at + length - step));
  return recall + <usize>(mixed >> RECALL_SHIFT) * RECALL_STRIDE;
}

export function dropHints(hints: usize): void {
  if (!hints) return;
  const holders = load<u32>(hints, HINTS_HOLDERS) - 1;
  store<u32>(hints, holders, HINTS_HOLDERS);
  if (holders) return;
  let slot = tableFirst(table, load<u32>(hints, HINTS_HASH));
  while (slotItem(slot) != <u32>hints) slot = tableNext(table, slot);
  memory.fill(recall, 0, RECALLS * RECALL_STRIDE);
  tableRemove(table, slot);
  const count = load<u32>(hints, HINTS_ZONES);
  for (let i: u32 = 0; i < count; i++) nameDrop(load<u32>(word(hints + HINTS_HEADER, i)));
  release(hints, HINTS_HEADER + wordsBytes(count));
}

/**
 * Sets this node's zone as text; empty for none. Returns 1 if the zone changed, -1 if memory cannot
 * grow.
 */
export function setHintZone(at: usize, length: usize): i32 {
  const name = nameHold(at, length);
  if (name == NAME_NONE) return -1;
  nameDrop(zone);
  if (name == zone) return 0;
  zone = name;
  const slots = tableSlots(table);
  for (let i: u32 = 0; i < slots; i++) {
    const item: usize = slotItem(tableSlot(table, i));
    if (item) updateThisZone(item);
  }
  return 1;
}

function updateThisZone(hints: usize): void {
  const count = load<u32>(hints, HINTS_ZONES);
  let flags = load<u32>(hints, HINTS_FLAGS) & ~HINT_THIS_ZONE;
  for (let i: u32 = 0; zone && i < count; i++) {
    if (load<u32>(word(hints + HINTS_HEADER, i)) == zone) flags |= HINT_THIS_ZONE;
  }
  store<u32>(hints, flags, HINTS_FLAGS);
}

function addHolder(hints: usize): void {
  store<u32>(hints, load<u32>(hints, HINTS_HOLDERS) + 1, HINTS_HOLDERS);
}

function mix(mixed: u32, word: u32): u32 {
  return (mixed ^ word) * 0x9e3779b1;
}

function isSet(item: usize, zones: usize, count: u32, nodes: u32): bool {
  return (
    load<u32>(item, HINTS_ZONES) == count &&
    (load<u32>(item, HINTS_FLAGS) & (HINT_NODES | HINT_THIS_NODE)) == nodes &&
    sameBytes(item + HINTS_HEADER, zones, wordsBytes(count))
  );
}
