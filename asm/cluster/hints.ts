// Sets of topology hints, each kept once: thousands of endpoints share a handful.
//
// Record: 0 u32 hash · 4 u32 endpoints that hold it · 8 u32 flags · 12 u32 zones · 16 u32 zone name id[zones]
// The zones are sorted and each there once. Of forNodes only two facts matter, both in the flags.

import { sameBytes } from "../memory/bytes";
import { hash32 } from "../memory/hash";
import { allocate, release } from "../memory/heap";
import { NAME_NONE, nameDrop, nameHold, nameKeep } from "../memory/names";
import {
  slotHash,
  slotItem,
  tableFirst,
  tableNext,
  tableRemove,
  tableReserve,
  tableSet,
  tableSlot,
  tableSlots,
} from "../memory/table";

export const HINT_ZONES: u32 = 1; // has forZones
export const HINT_THIS_ZONE: u32 = 2; // and this node's zone is one of them
export const HINT_NODES: u32 = 4; // has forNodes
export const HINT_THIS_NODE: u32 = 8; // and this node is one of them

const HEADER: usize = 16;
/** Entry: 0 u32 set, 0 = none · 4 u32 bytes · 8 the bytes. */
const RECALL_BYTES: usize = 120;
const RECALL_ENTRY: usize = 128;
const recall: usize = memory.data(32 * 128);
const table: usize = memory.data(12);
let zone: u32 = 0;

/** What an endpoint's hints say, as bits; 0 for `hints` 0. */
export function hintFlags(hints: usize): u32 {
  return hints ? load<u32>(hints, 8) : 0;
}

/**
 * The set of these zones (name ids, sorted, each once; `count` of them at `zones`) and node flags, held
 * once more. 0 if memory cannot grow, or if there is nothing in it.
 */
export function holdHints(zones: usize, count: u32, nodes: u32): usize {
  if (!count && !nodes) return 0;
  const bytes = (<usize>count) << 2;
  const hash = hash32(zones, bytes) ^ (nodes << 24);
  let slot = tableFirst(table, hash);
  for (let item: usize = slotItem(slot); item; item = slotItem(slot)) {
    if (slotHash(slot) == hash && isSet(item, zones, count, nodes)) {
      store<u32>(item, load<u32>(item, 4) + 1, 4);
      return item;
    }
    slot = tableNext(table, slot);
  }
  if (!tableReserve(table)) return 0;
  const fresh = allocate(HEADER + bytes);
  if (!fresh) return 0;
  store<u32>(fresh, hash);
  store<u32>(fresh, 1, 4);
  store<u32>(fresh, nodes | (count ? HINT_ZONES : 0), 8);
  store<u32>(fresh, count, 12);
  memory.copy(fresh + HEADER, zones, bytes);
  for (let i: u32 = 0; i < count; i++) nameKeep(load<u32>(zones + ((<usize>i) << 2)));
  judge(fresh);
  slot = tableFirst(table, hash);
  while (slotItem(slot)) slot = tableNext(table, slot);
  tableSet(table, slot, hash, <u32>fresh);
  return fresh;
}

/**
 * The set that these bytes of an EndpointHints message stood for lately, held once more; 0 if it is not known.
 * A cluster has a handful of sets and thousands of endpoints, so most need not be parsed.
 */
export function recallHints(at: usize, length: usize): usize {
  if (length > RECALL_BYTES) return 0;
  const entry = recallEntry(at, length);
  const hints: usize = load<u32>(entry);
  if (!hints || <usize>load<u32>(entry, 4) != length || !sameBytes(entry + 8, at, length)) return 0;
  store<u32>(hints, load<u32>(hints, 4) + 1, 4);
  return hints;
}

/** Remembers them until the set is gone or others take their place. */
export function rememberHints(at: usize, length: usize, hints: usize): void {
  if (length > RECALL_BYTES) return;
  const entry = recallEntry(at, length);
  store<u32>(entry, hints);
  store<u32>(entry, length, 4);
  memory.copy(entry + 8, at, length);
}

function recallEntry(at: usize, length: usize): usize {
  let mixed = <u32>length;
  for (let i: usize = 0; i + 4 <= length; i += 4) mixed = (mixed ^ load<u32>(at + i)) * 0x9e3779b1;
  if (length >= 4) mixed = (mixed ^ load<u32>(at + length - 4)) * 0x9e3779b1;
  return recall + <usize>(mixed >> 27) * RECALL_ENTRY;
}

export function dropHints(hints: usize): void {
  if (!hints) return;
  const holders = load<u32>(hints, 4) - 1;
  store<u32>(hints, holders, 4);
  if (holders) return;
  let slot = tableFirst(table, load<u32>(hints));
  while (slotItem(slot) != <u32>hints) slot = tableNext(table, slot);
  memory.fill(recall, 0, 32 * RECALL_ENTRY);
  tableRemove(table, slot);
  const count = load<u32>(hints, 12);
  for (let i: u32 = 0; i < count; i++) nameDrop(load<u32>(hints + HEADER + ((<usize>i) << 2)));
  release(hints, HEADER + ((<usize>count) << 2));
}

/** This node's zone, as text; empty for none. 1 if it is another one than before, -1 if memory cannot grow. */
export function setHintZone(at: usize, length: usize): i32 {
  const name = nameHold(at, length);
  if (name == NAME_NONE) return -1;
  nameDrop(zone);
  if (name == zone) return 0;
  zone = name;
  const slots = tableSlots(table);
  for (let i: u32 = 0; i < slots; i++) {
    const item: usize = slotItem(tableSlot(table, i));
    if (item) judge(item);
  }
  return 1;
}

function judge(hints: usize): void {
  const count = load<u32>(hints, 12);
  let flags = load<u32>(hints, 8) & ~HINT_THIS_ZONE;
  for (let i: u32 = 0; zone && i < count; i++) {
    if (load<u32>(hints + HEADER + ((<usize>i) << 2)) == zone) flags |= HINT_THIS_ZONE;
  }
  store<u32>(hints, flags, 8);
}

function isSet(item: usize, zones: usize, count: u32, nodes: u32): bool {
  return (
    load<u32>(item, 12) == count &&
    (load<u32>(item, 8) & (HINT_NODES | HINT_THIS_NODE)) == nodes &&
    sameBytes(item + HEADER, zones, (<usize>count) << 2)
  );
}
