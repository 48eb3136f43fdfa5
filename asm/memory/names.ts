// Byte strings as numbers: port names, zones, and the `namespace/name` of Services and slices.
//
// Counted: an id is recycled when its last holder lets go, so names that come and go do not pile up.
// Id 0 is the empty string, which everybody holds for ever.
//
// A name's block, 8-byte aligned:
//   0 u32 hash     4 u32 holders     8 u32 Service of this name, 0 = none
//  12 u32 EndpointSlice of this name (pointer), 0 = none    16 u32 length    20 bytes
// So the interner is also the index by key of Services and slices.
//
// The directory leads from an id to its block; a free id holds (next free id << 1 | 1).

import { sameBytes } from "./bytes";
import { hash32 } from "./hash";
import { allocate, release, resize } from "./heap";
import {
  slotHash,
  slotItem,
  tableCount,
  tableFirst,
  tableNext,
  tableRemove,
  tableReserve,
  tableSet,
} from "./table";

/** No such name, or no memory for it. */
export const NAME_NONE: u32 = 0xffff_ffff;

const NAME_BYTES: usize = 20;
const DIRECTORY_MIN: u32 = 256;

const table: usize = memory.data(12);
const emptyName: usize = memory.data(24);
let directory: usize = 0;
let capacity: u32 = 0;
let unused: u32 = 1;
let freeId: u32 = 0;

/** The id of these bytes, without holding it. */
export function nameFind(at: usize, length: usize): u32 {
  if (!length) return 0;
  return findHashed(at, length, hash32(at, length));
}

/** The id of these bytes, held once more by the caller. */
export function nameHold(at: usize, length: usize): u32 {
  if (!length) return 0;
  const hash = hash32(at, length);
  const known = findHashed(at, length, hash);
  if (known != NAME_NONE) {
    nameKeep(known);
    return known;
  }
  if (!tableReserve(table) || !reserveId()) return NAME_NONE;
  const block = allocate(NAME_BYTES + length);
  if (!block) return NAME_NONE;
  const id = takeId();
  store<u32>(block, hash);
  store<u32>(block, 1, 4);
  store<u32>(block, 0, 8);
  store<u32>(block, 0, 12);
  store<u32>(block, length, 16);
  memory.copy(block + NAME_BYTES, at, length);
  store<u32>(directory + ((<usize>id) << 2), block);
  let slot = tableFirst(table, hash);
  while (slotItem(slot)) slot = tableNext(table, slot);
  tableSet(table, slot, hash, id);
  return id;
}

/** One more holder of an id that is held already. */
export function nameKeep(id: u32): void {
  if (!id) return;
  const block = nameBlock(id);
  store<u32>(block, load<u32>(block, 4) + 1, 4);
}

/** One holder less. */
export function nameDrop(id: u32): void {
  if (!id) return;
  const block = nameBlock(id);
  const holders = load<u32>(block, 4) - 1;
  store<u32>(block, holders, 4);
  if (holders) return;
  const hash = load<u32>(block);
  let slot = tableFirst(table, hash);
  while (slotItem(slot) != id) slot = tableNext(table, slot);
  tableRemove(table, slot);
  release(block, NAME_BYTES + load<u32>(block, 16));
  store<u32>(directory + ((<usize>id) << 2), (freeId << 1) | 1);
  freeId = id;
}

/** Names that somebody holds, without the empty one. */
export function nameCount(): u32 {
  return tableCount(table);
}

export function nameText(id: u32): usize {
  return nameBlock(id) + NAME_BYTES;
}

export function nameLength(id: u32): u32 {
  return load<u32>(nameBlock(id), 16);
}

/** The id of the Service with this name; 0 = none. */
export function nameService(id: u32): u32 {
  return load<u32>(nameBlock(id), 8);
}

export function setNameService(id: u32, service: u32): void {
  store<u32>(nameBlock(id), service, 8);
}

/** The EndpointSlice with this name; 0 = none. */
export function nameSlice(id: u32): usize {
  return load<u32>(nameBlock(id), 12);
}

export function setNameSlice(id: u32, slice: usize): void {
  store<u32>(nameBlock(id), slice, 12);
}

/** Id → block, for the host, which reads names straight from memory: u32[id]. Moves when names are added. */
export function nameDirectory(): usize {
  return directory;
}

function nameBlock(id: u32): usize {
  return id ? <usize>load<u32>(directory + ((<usize>id) << 2)) : emptyName;
}

function findHashed(at: usize, length: usize, hash: u32): u32 {
  let slot = tableFirst(table, hash);
  for (let id = slotItem(slot); id; id = slotItem(slot)) {
    if (slotHash(slot) == hash) {
      const block = nameBlock(id);
      if (<usize>load<u32>(block, 16) == length && sameBytes(block + NAME_BYTES, at, length))
        return id;
    }
    slot = tableNext(table, slot);
  }
  return NAME_NONE;
}

function reserveId(): bool {
  if (freeId || unused < capacity) return true;
  const wanted = capacity ? capacity << 1 : DIRECTORY_MIN;
  const moved = resize(directory, (<usize>capacity) << 2, (<usize>wanted) << 2);
  if (!moved) return false;
  if (!capacity) store<u32>(moved, emptyName);
  directory = moved;
  capacity = wanted;
  return true;
}

function takeId(): u32 {
  if (!freeId) return unused++;
  const id = freeId;
  freeId = load<u32>(directory + ((<usize>id) << 2)) >> 1;
  return id;
}
