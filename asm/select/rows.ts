// Collects the candidates of one service port in one family. It gathers them from slices, sorts
// them by address and port, and merges copies of the same address and port.
//
// Of several copies the one with the greatest traits wins. Not terminating comes first, because an
// address may be reused before its former pod is gone. Then follow Ready, serving, local, and
// hints. Upstream takes any copy that is not terminating, depending on which slice it reads last;
// our result does not depend on the order of slices.

import {
  endpointAddress,
  endpointFlags,
  endpointHints,
  endpointStride,
  sliceEndpointCount,
  sliceEndpoints,
} from "../cluster/slices";
import {
  ENDPOINT_LOCAL,
  ENDPOINT_READY,
  ENDPOINT_SERVING,
  ENDPOINT_TERMINATING,
  HINT_NODES,
  HINT_THIS_NODE,
  HINT_THIS_ZONE,
  HINT_ZONES,
} from "../layout/slice";
import { HALF } from "../memory/bytes";
import { Region } from "../memory/region";

// Record ROW, ROW_STRIDE = 24 bytes: as numbers they compare like address and port in network order
//    0 u64 HIGH: first half of the address, 0 for IPv4    16 u16 TRAITS: TRAIT_*    20 u32 -
//    8 u64 LOW: second half, or IPv4                      18 u16 PORT
export const ROW_HIGH: usize = 0;
export const ROW_LOW: usize = 8;
export const ROW_TRAITS: usize = 16;
const ROW_PORT: usize = 18;
export const ROW_STRIDE: u32 = 24;
/** Port and traits as one number, port << PORT_SHIFT | traits; a u64 includes the padding. */
export const ROW_TAIL: usize = ROW_TRAITS;
const PORT_SHIFT: u32 = 16;

export const TRAIT_NOT_TERMINATING: u32 = 128;
export const TRAIT_READY: u32 = 64;
export const TRAIT_SERVING: u32 = 32;
export const TRAIT_LOCAL: u32 = 16;
export const TRAIT_THIS_NODE: u32 = 8;
export const TRAIT_NODES: u32 = 4;
export const TRAIT_THIS_ZONE: u32 = 2;
export const TRAIT_ZONES: u32 = 1;

/** Pieces of this many rows are sorted by insertion, longer ones by merging. */
const PIECE: u32 = 8;
const spareRow: usize = memory.data(ROW_STRIDE);

/** Appends a row for each endpoint of the slice. Returns false if memory cannot grow. */
export function gatherRows(rows: Region, slice: usize, family: u32, port: u32): bool {
  const count = sliceEndpointCount(slice);
  if (!count) return true;
  let to = rows.extend(count * ROW_STRIDE);
  if (!to) return false;
  const stride = endpointStride(family);
  let endpoint = sliceEndpoints(slice);
  for (let index: u32 = 0; index < count; index++) {
    const address = endpointAddress(endpoint);
    if (family == 4) {
      store<u64>(to, 0, ROW_HIGH);
      store<u64>(to, bswap<u32>(load<u32>(address)), ROW_LOW);
    } else {
      store<u64>(to, bswap<u64>(load<u64>(address)), ROW_HIGH);
      store<u64>(to, bswap<u64>(load<u64>(address, HALF)), ROW_LOW);
    }
    store<u64>(to, (port << PORT_SHIFT) | traitsOf(endpoint), ROW_TAIL);
    to += ROW_STRIDE;
    endpoint += stride;
  }
  return true;
}

/**
 * Sorts the rows. `other` is scratch space and may be swapped with `rows`. Returns false if memory
 * cannot grow.
 */
export function sortRows(rows: Region, other: Region): bool {
  const end = rows.length;
  const piece = PIECE * ROW_STRIDE;
  for (let from: u32 = 0; from < end; from += piece) {
    sortPiece(rows.base + from, rows.base + min(from + piece, end));
  }
  if (end <= piece) return true;
  if (!other.reserve(end)) return false;
  for (let width = piece; width < end; width <<= 1) {
    for (let from: u32 = 0; from < end; from += width << 1) {
      const middle = min(from + width, end);
      merge(
        rows.base + from,
        rows.base + middle,
        rows.base + min(middle + width, end),
        other.base + from,
      );
    }
    const base = rows.base;
    const capacity = rows.capacity;
    rows.base = other.base;
    rows.capacity = other.capacity;
    other.base = base;
    other.capacity = capacity;
  }
  return true;
}

/** Merges copies in sorted rows and keeps the last of them, which has the greatest traits. */
export function mergeCopies(rows: Region): void {
  const end = rows.base + rows.length;
  let to = rows.base;
  for (let row = rows.base; row < end; row += ROW_STRIDE) {
    const next = row + ROW_STRIDE;
    if (next < end && sameAddress(row, next) && portOf(row) == portOf(next)) continue;
    if (to != row) moveRow(to, row);
    to += ROW_STRIDE;
  }
  rows.length = <u32>(to - rows.base);
}

export function sameAddress(a: usize, b: usize): bool {
  return (
    load<u64>(a, ROW_LOW) == load<u64>(b, ROW_LOW) &&
    load<u64>(a, ROW_HIGH) == load<u64>(b, ROW_HIGH)
  );
}

export function portOf(row: usize): u32 {
  return load<u16>(row, ROW_PORT);
}

export function hasTrait(row: usize, trait: u32): bool {
  return (load<u32>(row, ROW_TAIL) & trait) != 0;
}

function traitsOf(endpoint: usize): u32 {
  const flags = endpointFlags(endpoint);
  const hints = endpointHints(endpoint);
  return (
    (flags & ENDPOINT_TERMINATING ? 0 : TRAIT_NOT_TERMINATING) |
    (flags & ENDPOINT_READY ? TRAIT_READY : 0) |
    (flags & ENDPOINT_SERVING ? TRAIT_SERVING : 0) |
    (flags & ENDPOINT_LOCAL ? TRAIT_LOCAL : 0) |
    (hints & HINT_THIS_NODE ? TRAIT_THIS_NODE : 0) |
    (hints & HINT_NODES ? TRAIT_NODES : 0) |
    (hints & HINT_THIS_ZONE ? TRAIT_THIS_ZONE : 0) |
    (hints & HINT_ZONES ? TRAIT_ZONES : 0)
  );
}

function moveRow(to: usize, from: usize): void {
  store<u64>(to, load<u64>(from, ROW_HIGH), ROW_HIGH);
  store<u64>(to, load<u64>(from, ROW_LOW), ROW_LOW);
  store<u64>(to, load<u64>(from, ROW_TAIL), ROW_TAIL);
}

function isBefore(a: usize, b: usize): bool {
  const high = load<u64>(a, ROW_HIGH);
  const otherHigh = load<u64>(b, ROW_HIGH);
  if (high != otherHigh) return high < otherHigh;
  const low = load<u64>(a, ROW_LOW);
  const otherLow = load<u64>(b, ROW_LOW);
  if (low != otherLow) return low < otherLow;
  return load<u32>(a, ROW_TAIL) < load<u32>(b, ROW_TAIL);
}

function sortPiece(from: usize, end: usize): void {
  for (let row = from + ROW_STRIDE; row < end; row += ROW_STRIDE) {
    if (!isBefore(row, row - ROW_STRIDE)) continue;
    moveRow(spareRow, row);
    let to = row;
    do {
      moveRow(to, to - ROW_STRIDE);
      to -= ROW_STRIDE;
    } while (to > from && isBefore(spareRow, to - ROW_STRIDE));
    moveRow(to, spareRow);
  }
}

function merge(a: usize, b: usize, end: usize, to: usize): void {
  const middle = b;
  if (middle == end || !isBefore(middle, middle - ROW_STRIDE)) {
    memory.copy(to, a, end - a);
    return;
  }
  while (a < middle && b < end) {
    if (isBefore(b, a)) {
      moveRow(to, b);
      b += ROW_STRIDE;
    } else {
      moveRow(to, a);
      a += ROW_STRIDE;
    }
    to += ROW_STRIDE;
  }
  memory.copy(to, a, middle - a);
  to += middle - a;
  memory.copy(to, b, end - b);
}
