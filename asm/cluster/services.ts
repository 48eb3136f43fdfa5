// Stores the table of Services by id. Ids are dense from 1, and an id is recycled when nothing of
// its Service remains.
//
// Entry 0 belongs to OWNER_NODE, which has only elements.
//
// An id taken off the dirty list stays valid until the next `takeDirty`, whatever happens to its
// Service.

import {
  ADDRESS_STRIDE,
  PORT_NAME,
  PORT_STRIDE,
  SERVICE_CLUSTER_IPS,
  SERVICE_EXTERNAL_IPS,
  SERVICE_HEADER,
  SERVICE_PORTS,
  SERVICE_SIZE,
  SERVICE_SOURCE_RANGES,
  SERVICE_VIPS,
} from "../layout/service";
import { word, wordsBytes } from "../memory/bytes";
import { allocate, release, resize } from "../memory/heap";
import {
  NAME_NONE,
  nameDrop,
  nameFind,
  nameHold,
  nameService,
  setNameService,
} from "../memory/names";

// Record ENTRY, ENTRY_STRIDE = 40 bytes:
//    0 u32 KEY: name id of `namespace/name`; 0 = free    20 u32 EPOCH: in which it was last fed
//    4 u32 BLOCK: SERVICE record, 0 = no such Service;   24 u64 VERSION: hash of uid and
//          next free id in a free entry                         resourceVersion, 0 = none
//    8 u32 SLICE: first EndpointSlice, 0 = none          32 u8 FLAGS: FLAG_*
//   12 u32 ELEMENT: first committed one, 0 = none        33 u8[7] -
//   16 u32 NEXT_DIRTY: id, 0 = last
const ENTRY_KEY: usize = 0;
const ENTRY_BLOCK: usize = 4;
const ENTRY_SLICE: usize = 8;
const ENTRY_ELEMENT: usize = 12;
const ENTRY_NEXT_DIRTY: usize = 16;
const ENTRY_EPOCH: usize = 20;
const ENTRY_VERSION: usize = 24;
const ENTRY_FLAGS: usize = 32;
const ENTRY_STRIDE: usize = 40;

const CAPACITY_MIN: u32 = 256;
/** This many dirty ids can be taken even if memory cannot grow. */
const TAKEN_MIN: u32 = 64;
const FLAG_DIRTY: u8 = 1;
const FLAG_TAKEN: u8 = 2;

/** ENTRY records, indexed by id. */
let entries: usize = 0;
let capacity: u32 = 0;
let unused: u32 = 1;
let freeId: u32 = 0;
let present: u32 = 0;
let firstDirty: u32 = 0;
let lastDirty: u32 = 0;
let dirty: u32 = 0;
/** Ids taken off the dirty list, u32 each. */
let taken: usize = 0;
let takenCount: u32 = 0;
let takenCapacity: u32 = 0;

/** Creates entry 0. Returns false if there is no memory even for this. */
export function initServices(): bool {
  taken = allocate(wordsBytes(TAKEN_MIN));
  if (!taken) return false;
  takenCapacity = TAKEN_MIN;
  return reserveId();
}

/** Returns the id of the Service with this key; 0 if there is none. */
export function findService(at: usize, length: usize): u32 {
  const name = nameFind(at, length);
  return name == NAME_NONE ? 0 : nameService(name);
}

/**
 * Returns the id of the Service with this key, and creates it if necessary; 0 if memory cannot
 * grow.
 */
export function ensureService(at: usize, length: usize): u32 {
  const name = nameHold(at, length);
  if (name == NAME_NONE) return 0;
  const known = nameService(name);
  if (known) {
    nameDrop(name);
    return known;
  }
  if (!reserveId()) {
    nameDrop(name);
    return 0;
  }
  let id = freeId;
  if (id) freeId = load<u32>(entryOf(id), ENTRY_BLOCK);
  else id = unused++;
  const entry = entryOf(id);
  memory.fill(entry, 0, ENTRY_STRIDE);
  store<u32>(entry, name, ENTRY_KEY);
  setNameService(name, id);
  return id;
}

/** Recycles the id if nothing of the Service remains. Call it after removing something. */
export function releaseIfUnused(id: u32): void {
  if (!id) return;
  const entry = entryOf(id);
  const name = load<u32>(entry, ENTRY_KEY);
  if (
    !name ||
    load<u32>(entry, ENTRY_BLOCK) ||
    load<u32>(entry, ENTRY_SLICE) ||
    load<u32>(entry, ENTRY_ELEMENT) ||
    load<u8>(entry, ENTRY_FLAGS)
  )
    return;
  setNameService(name, 0);
  nameDrop(name);
  store<u32>(entry, 0, ENTRY_KEY);
  store<u32>(entry, freeId, ENTRY_BLOCK);
  freeId = id;
}

/** Reports whether the id is in use. Ids from the host are checked with it. */
export function isService(id: u32): bool {
  return id != 0 && id < unused && load<u32>(entryOf(id), ENTRY_KEY) != 0;
}

/** All ids are below this number. */
export function serviceEnd(): u32 {
  return unused;
}

/**
 * Number of Services that exist. Services that only have slices or elements left do not count.
 */
export function serviceCount(): u32 {
  return present;
}

/** Returns the name id of `namespace/name`. */
export function serviceName(id: u32): u32 {
  return load<u32>(entryOf(id), ENTRY_KEY);
}

/** Returns the SERVICE record; 0 if the Service does not exist. */
export function serviceBlock(id: u32): usize {
  return load<u32>(entryOf(id), ENTRY_BLOCK);
}

/** Replaces the Service's block and frees the old one; 0 removes the block. */
export function setServiceBlock(id: u32, block: usize): void {
  const entry = entryOf(id);
  const former: usize = load<u32>(entry, ENTRY_BLOCK);
  if (former) {
    releaseServiceNames(former);
    release(former, load<u32>(former, SERVICE_SIZE));
    present--;
  }
  if (block) present++;
  store<u32>(entry, block, ENTRY_BLOCK);
}

/** Releases the port names of a block. */
export function releaseServiceNames(block: usize): void {
  const ports = servicePorts(block);
  const end = ports + <usize>servicePortCount(block) * PORT_STRIDE;
  for (let port = ports; port < end; port += PORT_STRIDE) nameDrop(load<u32>(port, PORT_NAME));
}

export function servicePortCount(block: usize): u32 {
  return load<u16>(block, SERVICE_PORTS);
}

/** Returns the first PORT record; the others follow it. */
export function servicePorts(block: usize): usize {
  const addresses: u32 =
    <u32>load<u16>(block, SERVICE_CLUSTER_IPS) +
    load<u16>(block, SERVICE_EXTERNAL_IPS) +
    load<u16>(block, SERVICE_VIPS) +
    load<u16>(block, SERVICE_SOURCE_RANGES);
  return block + SERVICE_HEADER + addresses * ADDRESS_STRIDE;
}

export function firstSlice(id: u32): usize {
  return load<u32>(entryOf(id), ENTRY_SLICE);
}

export function setFirstSlice(id: u32, slice: usize): void {
  store<u32>(entryOf(id), slice, ENTRY_SLICE);
}

/** Returns the first committed element of an owner: a Service id, or 0 for the node. */
export function firstElement(owner: u32): u32 {
  return load<u32>(entryOf(owner), ENTRY_ELEMENT);
}

export function setFirstElement(owner: u32, element: u32): void {
  store<u32>(entryOf(owner), element, ENTRY_ELEMENT);
}

export function serviceEpoch(id: u32): u32 {
  return load<u32>(entryOf(id), ENTRY_EPOCH);
}

export function setServiceEpoch(id: u32, epoch: u32): void {
  store<u32>(entryOf(id), epoch, ENTRY_EPOCH);
}

export function serviceVersion(id: u32): u64 {
  return load<u64>(entryOf(id), ENTRY_VERSION);
}

export function setServiceVersion(id: u32, version: u64): void {
  store<u64>(entryOf(id), version, ENTRY_VERSION);
}

// ── Dirty list: first in, first out, each once ───────────────────────────────────────────────────

export function markDirty(id: u32): void {
  if (!isService(id)) return;
  const entry = entryOf(id);
  const flags = load<u8>(entry, ENTRY_FLAGS);
  if (flags & FLAG_DIRTY) return;
  store<u8>(entry, flags | FLAG_DIRTY, ENTRY_FLAGS);
  store<u32>(entry, 0, ENTRY_NEXT_DIRTY);
  if (lastDirty) store<u32>(entryOf(lastDirty), id, ENTRY_NEXT_DIRTY);
  else firstDirty = id;
  lastDirty = id;
  dirty++;
}

export function markAllDirty(): void {
  for (let id: u32 = 1; id < unused; id++) markDirty(id);
}

export function dirtyCount(): u32 {
  return dirty;
}

/**
 * Takes up to `most` ids off the list and stores them as u32s at `takenDirty`. Returns their
 * number, which is lower if memory cannot grow.
 */
export function takeDirty(most: u32): u32 {
  for (let i: u32 = 0; i < takenCount; i++) {
    const id = load<u32>(word(taken, i));
    const entry = entryOf(id);
    store<u8>(entry, load<u8>(entry, ENTRY_FLAGS) & ~FLAG_TAKEN, ENTRY_FLAGS);
    releaseIfUnused(id);
  }
  takenCount = 0;
  let count = min(most, dirty);
  if (count > takenCapacity) {
    const moved = allocate(wordsBytes(count));
    if (moved) {
      release(taken, wordsBytes(takenCapacity));
      taken = moved;
      takenCapacity = count;
    } else count = takenCapacity;
  }
  for (let i: u32 = 0; i < count; i++) {
    const id = firstDirty;
    const entry = entryOf(id);
    firstDirty = load<u32>(entry, ENTRY_NEXT_DIRTY);
    store<u8>(entry, (load<u8>(entry, ENTRY_FLAGS) & ~FLAG_DIRTY) | FLAG_TAKEN, ENTRY_FLAGS);
    store<u32>(word(taken, i), id);
  }
  if (!firstDirty) lastDirty = 0;
  dirty -= count;
  takenCount = count;
  return count;
}

export function takenDirty(): usize {
  return taken;
}

function entryOf(id: u32): usize {
  return entries + <usize>id * ENTRY_STRIDE;
}

function reserveId(): bool {
  if (freeId || unused < capacity) return true;
  const wanted = capacity ? capacity << 1 : CAPACITY_MIN;
  const moved = resize(entries, <usize>capacity * ENTRY_STRIDE, <usize>wanted * ENTRY_STRIDE);
  if (!moved) return false;
  if (!capacity) memory.fill(moved, 0, ENTRY_STRIDE);
  entries = moved;
  capacity = wanted;
  return true;
}
