// Interns byte strings as numbers: port names, zones, and the `namespace/name` of Services and
// slices.
//
// Ids are reference-counted. An id is recycled when its last reference is released, so short-lived
// names do not accumulate. Id 0 is the empty string and is never released.
//
// A name's block (layout/name.ts) points to the Service and the EndpointSlice with this name, so
// the interner is also their index by key.
//
// The directory maps an id to its block. The entry of a free id holds (next free id << 1 | 1).

import {
  NAME_HASH,
  NAME_HEADER,
  NAME_HOLDERS,
  NAME_LENGTH,
  NAME_SERVICE,
  NAME_SLICE,
  NAME_TEXT,
} from "../layout/name";
import { sameBytes, word, wordsBytes } from "./bytes";
import { hash32 } from "./hash";
import { allocate, release, resize } from "./heap";
import {
  slotHash,
  slotItem,
  TABLE_BYTES,
  tableCount,
  tableFirst,
  tableNext,
  tableRemove,
  tableReserve,
  tableSet,
} from "./table";

/** The name does not exist, or memory cannot grow. */
export const NAME_NONE: u32 = 0xffff_ffff;

const DIRECTORY_MIN: u32 = 256;

const table: usize = memory.data(TABLE_BYTES);
/** The block of id 0. */
const emptyName: usize = memory.data(NAME_HEADER);
let directory: usize = 0;
let capacity: u32 = 0;
let unused: u32 = 1;
let freeId: u32 = 0;

/** Returns the id of these bytes without taking a reference. */
export function nameFind(at: usize, length: usize): u32 {
  if (!length) return 0;
  return findHashed(at, length, hash32(at, length));
}

/** Returns the id of these bytes and takes a reference. */
export function nameHold(at: usize, length: usize): u32 {
  if (!length) return 0;
  const hash = hash32(at, length);
  const known = findHashed(at, length, hash);
  if (known != NAME_NONE) {
    nameKeep(known);
    return known;
  }
  if (!tableReserve(table) || !reserveId()) return NAME_NONE;
  const block = allocate(NAME_HEADER + length);
  if (!block) return NAME_NONE;
  const id = takeId();
  store<u32>(block, hash, NAME_HASH);
  store<u32>(block, 1, NAME_HOLDERS);
  store<u32>(block, 0, NAME_SERVICE);
  store<u32>(block, 0, NAME_SLICE);
  store<u32>(block, length, NAME_LENGTH);
  memory.copy(block + NAME_TEXT, at, length);
  store<u32>(word(directory, id), block);
  let slot = tableFirst(table, hash);
  while (slotItem(slot)) slot = tableNext(table, slot);
  tableSet(table, slot, hash, id);
  return id;
}

/** Takes another reference to an id that has one. */
export function nameKeep(id: u32): void {
  if (!id) return;
  const block = nameBlock(id);
  store<u32>(block, load<u32>(block, NAME_HOLDERS) + 1, NAME_HOLDERS);
}

/** Releases a reference. */
export function nameDrop(id: u32): void {
  if (!id) return;
  const block = nameBlock(id);
  const holders = load<u32>(block, NAME_HOLDERS) - 1;
  store<u32>(block, holders, NAME_HOLDERS);
  if (holders) return;
  const hash = load<u32>(block, NAME_HASH);
  let slot = tableFirst(table, hash);
  while (slotItem(slot) != id) slot = tableNext(table, slot);
  tableRemove(table, slot);
  release(block, NAME_HEADER + load<u32>(block, NAME_LENGTH));
  store<u32>(word(directory, id), (freeId << 1) | 1);
  freeId = id;
}

/** Number of names in use, without the empty one. */
export function nameCount(): u32 {
  return tableCount(table);
}

export function nameText(id: u32): usize {
  return nameBlock(id) + NAME_TEXT;
}

export function nameLength(id: u32): u32 {
  return load<u32>(nameBlock(id), NAME_LENGTH);
}

/** Returns the id of the Service with this name; 0 = none. */
export function nameService(id: u32): u32 {
  return load<u32>(nameBlock(id), NAME_SERVICE);
}

export function setNameService(id: u32, service: u32): void {
  store<u32>(nameBlock(id), service, NAME_SERVICE);
}

/** Returns the EndpointSlice with this name; 0 = none. */
export function nameSlice(id: u32): usize {
  return load<u32>(nameBlock(id), NAME_SLICE);
}

export function setNameSlice(id: u32, slice: usize): void {
  store<u32>(nameBlock(id), slice, NAME_SLICE);
}

/**
 * Maps an id to its block, as u32[id], for the host, which reads names directly from memory. It
 * moves when names are added.
 */
export function nameDirectory(): usize {
  return directory;
}

function nameBlock(id: u32): usize {
  return id ? <usize>load<u32>(word(directory, id)) : emptyName;
}

function findHashed(at: usize, length: usize, hash: u32): u32 {
  let slot = tableFirst(table, hash);
  for (let id = slotItem(slot); id; id = slotItem(slot)) {
    if (slotHash(slot) == hash) {
      const block = nameBlock(id);
      if (
        <usize>load<u32>(block, NAME_LENGTH) == length &&
        sameBytes(block + NAME_TEXT, at, length)
      )
        return id;
    }
    slot = tableNext(table, slot);
  }
  return NAME_NONE;
}

function reserveId(): bool {
  if (freeId || unused < capacity) return true;
  const wanted = capacity ? capacity << 1 : DIRECTORY_MIN;
  const moved = resize(directory, wordsBytes(capacity), wordsBytes(wanted));
  if (!moved) return false;
  if (!capacity) store<u32>(word(moved, 0), emptyName);
  directory = moved;
  capacity = wanted;
  return true;
}

function takeId(): u32 {
  if (!freeId) return unused++;
  const id = freeId;
  freeId = load<u32>(word(directory, id)) >> 1;
  return id;
}
