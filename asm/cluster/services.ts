// The table of Services, by id: dense from 1, recycled when nothing of a Service remains.
//
// Record, 40 bytes:
//   0 u32 key: name id of `namespace/name`; 0 = free      20 u32 epoch in which it was last fed
//   4 u32 block (layout.ts), 0 = no such Service;         24 u64 version: hash of uid and resourceVersion, 0 = none
//         next free id in a free record                   32 u8  flags; the rest pads to the u64
//   8 u32 first EndpointSlice, 0 = none
//  12 u32 first committed element, 0 = none
//  16 u32 next dirty Service, 0 = last
// Record 0 belongs to OWNER_NODE: it has elements only.
//
// An id taken off the dirty list stays valid until the next `takeDirty`, whatever happens to its Service.

import { ADDRESS_STRIDE, PORT_STRIDE, SERVICE_HEADER } from "../layout/layout";
import { allocate, release, resize } from "../memory/heap";
import {
  NAME_NONE,
  nameDrop,
  nameFind,
  nameHold,
  nameService,
  setNameService,
} from "../memory/names";

const STRIDE: u32 = 40;
const CAPACITY_MIN: u32 = 256;
/** This many dirty ids can be taken even without memory. */
const TAKEN_MIN: u32 = 64;
const FLAG_DIRTY: u8 = 1;
const FLAG_TAKEN: u8 = 2;

let records: usize = 0;
let capacity: u32 = 0;
let unused: u32 = 1;
let freeId: u32 = 0;
let present: u32 = 0;
let firstDirty: u32 = 0;
let lastDirty: u32 = 0;
let dirty: u32 = 0;
let taken: usize = 0;
let takenCount: u32 = 0;
let takenCapacity: u32 = 0;

/** Makes record 0. False if there is no memory even for this. */
export function initServices(): bool {
  taken = allocate((<usize>TAKEN_MIN) << 2);
  if (!taken) return false;
  takenCapacity = TAKEN_MIN;
  return reserveId();
}

/** The id of the Service with this key, 0 if there is none. */
export function findService(at: usize, length: usize): u32 {
  const name = nameFind(at, length);
  return name == NAME_NONE ? 0 : nameService(name);
}

/** The id of the Service with this key, made if need be; 0 if memory cannot grow. */
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
  if (id) freeId = load<u32>(recordOf(id), 4);
  else id = unused++;
  const record = recordOf(id);
  memory.fill(record, 0, STRIDE);
  store<u32>(record, name);
  setNameService(name, id);
  return id;
}

/** Recycles the id if nothing of the Service remains. Call it after taking something away. */
export function settleService(id: u32): void {
  if (!id) return;
  const record = recordOf(id);
  const name = load<u32>(record);
  if (
    !name ||
    load<u32>(record, 4) ||
    load<u32>(record, 8) ||
    load<u32>(record, 12) ||
    load<u8>(record, 32)
  )
    return;
  setNameService(name, 0);
  nameDrop(name);
  store<u32>(record, 0);
  store<u32>(record, freeId, 4);
  freeId = id;
}

/** Is this the id of something? Ids from the host are checked with it. */
export function isService(id: u32): bool {
  return id != 0 && id < unused && load<u32>(recordOf(id)) != 0;
}

/** Ids are below this. */
export function serviceEnd(): u32 {
  return unused;
}

/** Services that exist, without those of which only slices or elements do. */
export function serviceCount(): u32 {
  return present;
}

/** Name id of `namespace/name`. */
export function serviceName(id: u32): u32 {
  return load<u32>(recordOf(id));
}

/** The block (layout.ts); 0 if the Service does not exist. */
export function serviceBlock(id: u32): usize {
  return load<u32>(recordOf(id), 4);
}

/** Puts a block of the Service in place of the former one, which is freed; 0 takes it away. */
export function setServiceBlock(id: u32, block: usize): void {
  const record = recordOf(id);
  const former: usize = load<u32>(record, 4);
  if (former) {
    releaseServiceNames(former);
    release(former, load<u32>(former));
    present--;
  }
  if (block) present++;
  store<u32>(record, block, 4);
}

/** Lets go of the port names of a block. */
export function releaseServiceNames(block: usize): void {
  const ports = servicePorts(block);
  const end = ports + <usize>servicePortCount(block) * PORT_STRIDE;
  for (let port = ports; port < end; port += PORT_STRIDE) nameDrop(load<u32>(port));
}

export function servicePortCount(block: usize): u32 {
  return load<u16>(block, 16);
}

/** First port: 0 u32 name id · 4 u16 port · 6 u16 nodePort · 8 u8 protocol. */
export function servicePorts(block: usize): usize {
  const addresses: u32 =
    <u32>load<u16>(block, 18) + load<u16>(block, 20) + load<u16>(block, 22) + load<u16>(block, 24);
  return block + SERVICE_HEADER + addresses * ADDRESS_STRIDE;
}

export function firstSlice(id: u32): usize {
  return load<u32>(recordOf(id), 8);
}

export function setFirstSlice(id: u32, slice: usize): void {
  store<u32>(recordOf(id), slice, 8);
}

/** First committed element of an owner: a Service id, or 0 for the node. */
export function firstElement(owner: u32): u32 {
  return load<u32>(recordOf(owner), 12);
}

export function setFirstElement(owner: u32, element: u32): void {
  store<u32>(recordOf(owner), element, 12);
}

export function serviceEpoch(id: u32): u32 {
  return load<u32>(recordOf(id), 20);
}

export function setServiceEpoch(id: u32, epoch: u32): void {
  store<u32>(recordOf(id), epoch, 20);
}

export function serviceVersion(id: u32): u64 {
  return load<u64>(recordOf(id), 24);
}

export function setServiceVersion(id: u32, version: u64): void {
  store<u64>(recordOf(id), version, 24);
}

// ── Dirty list: first in, first out, each once ──────────────────────────────────────────────────────

export function markDirty(id: u32): void {
  if (!isService(id)) return;
  const record = recordOf(id);
  const flags = load<u8>(record, 32);
  if (flags & FLAG_DIRTY) return;
  store<u8>(record, flags | FLAG_DIRTY, 32);
  store<u32>(record, 0, 16);
  if (lastDirty) store<u32>(recordOf(lastDirty), id, 16);
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

/** Takes up to `most` ids off the list, into u32s at `takenDirty`. Returns how many: fewer if memory cannot grow. */
export function takeDirty(most: u32): u32 {
  for (let i: u32 = 0; i < takenCount; i++) {
    const id = load<u32>(taken + ((<usize>i) << 2));
    const record = recordOf(id);
    store<u8>(record, load<u8>(record, 32) & ~FLAG_TAKEN, 32);
    settleService(id);
  }
  takenCount = 0;
  let count = min(most, dirty);
  if (count > takenCapacity) {
    const moved = allocate((<usize>count) << 2);
    if (moved) {
      release(taken, (<usize>takenCapacity) << 2);
      taken = moved;
      takenCapacity = count;
    } else count = takenCapacity;
  }
  for (let i: u32 = 0; i < count; i++) {
    const id = firstDirty;
    const record = recordOf(id);
    firstDirty = load<u32>(record, 16);
    store<u8>(record, (load<u8>(record, 32) & ~FLAG_DIRTY) | FLAG_TAKEN, 32);
    store<u32>(taken + ((<usize>i) << 2), id);
  }
  if (!firstDirty) lastDirty = 0;
  dirty -= count;
  takenCount = count;
  return count;
}

export function takenDirty(): usize {
  return taken;
}

function recordOf(id: u32): usize {
  return records + <usize>id * STRIDE;
}

function reserveId(): bool {
  if (freeId || unused < capacity) return true;
  const wanted = capacity ? capacity << 1 : CAPACITY_MIN;
  const moved = resize(records, <usize>capacity * STRIDE, <usize>wanted * STRIDE);
  if (!moved) return false;
  if (!capacity) memory.fill(moved, 0, STRIDE);
  records = moved;
  capacity = wanted;
  return true;
}
