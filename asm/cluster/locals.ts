// Stores the distinct addresses of endpoints on this node. Their connections can hairpin.

import { LOCAL_BYTES, LOCAL_FAMILY, LOCAL_HASH, LOCAL_HOLDERS, LOCAL_IP } from "../layout/local";
import { ENDPOINT_LOCAL } from "../layout/slice";
import { ipBytes, sameBytes } from "../memory/bytes";
import { hash32 } from "../memory/hash";
import { allocate, release } from "../memory/heap";
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
import {
  endpointAddress,
  endpointFlags,
  endpointStride,
  sliceEndpointCount,
  sliceEndpoints,
  sliceFamily,
} from "./slices";

const table: usize = memory.data(TABLE_BYTES);
let version: u32 = 0;

/**
 * Takes references for the local endpoints of a slice. Returns false, with nothing changed, if
 * memory cannot grow.
 */
export function holdLocals(slice: usize): bool {
  return changeLocals(slice, sliceEndpointCount(slice), true);
}

/** Releases these references. */
export function dropLocals(slice: usize): void {
  changeLocals(slice, sliceEndpointCount(slice), false);
}

/** Increases whenever the set changes. */
export function localsVersion(): u32 {
  return version;
}

/** Number of hash slots to iterate over with `localAt`. */
export function localSlots(): u32 {
  return tableSlots(table);
}

/** Returns a LOCAL record; 0 for an empty slot. */
export function localAt(index: u32): usize {
  return slotItem(tableSlot(table, index));
}

function changeLocals(slice: usize, rows: u32, hold: bool): bool {
  const family = sliceFamily(slice);
  const stride = endpointStride(family);
  let row = sliceEndpoints(slice);
  for (let i: u32 = 0; i < rows; i++) {
    if (endpointFlags(row) & ENDPOINT_LOCAL) {
      if (!hold) dropLocal(family, endpointAddress(row));
      else if (!holdLocal(family, endpointAddress(row))) {
        changeLocals(slice, i, false);
        return false;
      }
    }
    row += stride;
  }
  return true;
}

function holdLocal(family: u32, address: usize): bool {
  const length = ipBytes(family);
  const hash = hash32(address, length);
  if (!tableReserve(table)) return false;
  const slot = find(family, address, length, hash);
  const known: usize = slotItem(slot);
  if (known) {
    store<u32>(known, load<u32>(known, LOCAL_HOLDERS) + 1, LOCAL_HOLDERS);
    return true;
  }
  const fresh = allocate(LOCAL_BYTES);
  if (!fresh) return false;
  store<u32>(fresh, hash, LOCAL_HASH);
  store<u32>(fresh, 1, LOCAL_HOLDERS);
  store<u32>(fresh, family, LOCAL_FAMILY);
  memory.copy(fresh + LOCAL_IP, address, length);
  tableSet(table, slot, hash, <u32>fresh);
  version++;
  return true;
}

function dropLocal(family: u32, address: usize): void {
  const length = ipBytes(family);
  const slot = find(family, address, length, hash32(address, length));
  const known: usize = slotItem(slot);
  const holders = load<u32>(known, LOCAL_HOLDERS) - 1;
  store<u32>(known, holders, LOCAL_HOLDERS);
  if (holders) return;
  tableRemove(table, slot);
  release(known, LOCAL_BYTES);
  version++;
}

function find(family: u32, address: usize, length: usize, hash: u32): usize {
  let slot = tableFirst(table, hash);
  for (let item: usize = slotItem(slot); item; item = slotItem(slot)) {
    if (
      slotHash(slot) == hash &&
      load<u32>(item, LOCAL_FAMILY) == family &&
      sameBytes(item + LOCAL_IP, address, length)
    )
      break;
    slot = tableNext(table, slot);
  }
  return slot;
}
