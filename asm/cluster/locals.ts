// Addresses of endpoints on this node, each once however many slices name it: what can hairpin.
//
// Record: 0 u32 hash · 4 u32 rows that hold it · 8 u32 family · 12 addr[16]

import { sameBytes } from "../memory/bytes";
import { hash32 } from "../memory/hash";
import { allocate, release } from "../memory/heap";
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
import {
  ENDPOINT_LOCAL,
  endpointAddress,
  endpointFlags,
  endpointStride,
  sliceEndpointCount,
  sliceEndpoints,
  sliceFamily,
} from "./slices";

const BYTES: usize = 28;
const table: usize = memory.data(12);
let version: u32 = 0;

/** Counts in the local endpoints of a slice; false, and nothing done, if memory cannot grow. */
export function holdLocals(slice: usize): bool {
  return changeLocals(slice, sliceEndpointCount(slice), true);
}

/** Counts them out. */
export function dropLocals(slice: usize): void {
  changeLocals(slice, sliceEndpointCount(slice), false);
}

/** Grows by one at least whenever the set changes. */
export function localsVersion(): u32 {
  return version;
}

/** Hash slots to walk over with `localAt`. */
export function localSlots(): u32 {
  return tableSlots(table);
}

/** A record, or 0 for an empty slot: 8 u32 family, 12 addr[16]. */
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
  const length: usize = family == 4 ? 4 : 16;
  const hash = hash32(address, length);
  if (!tableReserve(table)) return false;
  const slot = find(family, address, length, hash);
  const known: usize = slotItem(slot);
  if (known) {
    store<u32>(known, load<u32>(known, 4) + 1, 4);
    return true;
  }
  const fresh = allocate(BYTES);
  if (!fresh) return false;
  store<u32>(fresh, hash);
  store<u32>(fresh, 1, 4);
  store<u32>(fresh, family, 8);
  memory.copy(fresh + 12, address, length);
  tableSet(table, slot, hash, <u32>fresh);
  version++;
  return true;
}

function dropLocal(family: u32, address: usize): void {
  const length: usize = family == 4 ? 4 : 16;
  const slot = find(family, address, length, hash32(address, length));
  const known: usize = slotItem(slot);
  const holders = load<u32>(known, 4) - 1;
  store<u32>(known, holders, 4);
  if (holders) return;
  tableRemove(table, slot);
  release(known, BYTES);
  version++;
}

function find(family: u32, address: usize, length: usize, hash: u32): usize {
  let slot = tableFirst(table, hash);
  for (let item: usize = slotItem(slot); item; item = slotItem(slot)) {
    if (
      slotHash(slot) == hash &&
      load<u32>(item, 8) == family &&
      sameBytes(item + 12, address, length)
    )
      break;
    slot = tableNext(table, slot);
  }
  return slot;
}
