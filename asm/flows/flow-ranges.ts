// Holds the local addresses that serve node ports, as the host knows them at the start of a pass.

import {
  FLOWS_RANGE4_FIRST,
  FLOWS_RANGE4_LAST,
  FLOWS_RANGE4_STRIDE,
  FLOWS_RANGE6_FIRST,
  FLOWS_RANGE6_LAST,
  FLOWS_RANGE6_STRIDE,
} from "../layout/flow";
import { ipBytes } from "../memory/bytes";
import { REGION_BYTES, region } from "../memory/region";

/** FLOWS_RANGE4 records, then FLOWS_RANGE6 records. Each kind is sorted and disjoint. */
const ranges = region(memory.data(REGION_BYTES));
let count4: u32 = 0;
let count6: u32 = 0;

/**
 * Replaces the ranges by this many of IPv4, followed by this many of IPv6. The host writes the
 * records to the returned address; 0 if memory cannot grow, and then there is none.
 */
export function flowsRanges(ipv4: u32, ipv6: u32): usize {
  count4 = 0;
  count6 = 0;
  ranges.length = 0;
  const bytes = ipv4 * <u32>FLOWS_RANGE4_STRIDE + ipv6 * <u32>FLOWS_RANGE6_STRIDE;
  if (!ranges.reserve(max(bytes, 1))) return 0;
  count4 = ipv4;
  count6 = ipv6;
  return ranges.base;
}

/** Removes the ranges. */
export function forgetRanges(): void {
  count4 = 0;
  count6 = 0;
  ranges.clear();
}

/** Reports whether node ports answer on this address, which is in network order. */
export function servesNodePorts(family: u32, address: usize): bool {
  const size = ipBytes(family);
  const first = family == 4 ? FLOWS_RANGE4_FIRST : FLOWS_RANGE6_FIRST;
  const last = family == 4 ? FLOWS_RANGE4_LAST : FLOWS_RANGE6_LAST;
  const stride = family == 4 ? FLOWS_RANGE4_STRIDE : FLOWS_RANGE6_STRIDE;
  const base = family == 4 ? ranges.base : ranges.base + count4 * FLOWS_RANGE4_STRIDE;
  let from: u32 = 0;
  let end = family == 4 ? count4 : count6;
  while (from < end) {
    const middle = (from + end) >> 1;
    const range = base + middle * stride;
    if (memory.compare(address, range + first, size) < 0) end = middle;
    else if (memory.compare(address, range + last, size) > 0) from = middle + 1;
    else return true;
  }
  return false;
}
