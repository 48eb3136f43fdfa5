/**
 * Computes with address ranges: membership, bounds, and the disjoint lists that interval tables
 * need.
 */
import { readU8 } from "../base/bytes.ts";
import { type Address, type Cidr, compareAddresses, compareBytes, type Family } from "./address.ts";

/** 127.0.0.0/8 and ::1/128 */
export const LOOPBACK: { readonly [family in Family]: Cidr } = {
  4: { family: 4, bytes: Uint8Array.of(127, 0, 0, 0), prefix: 8 },
  6: {
    family: 6,
    bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    prefix: 128,
  },
};

/** fe80::/10 */
export const LINK_LOCAL_IPV6: Cidr = {
  family: 6,
  bytes: Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
  prefix: 10,
};

/** Returns the range that contains only this address. */
export function cidrOf(address: Address): Cidr {
  return { family: address.family, bytes: address.bytes, prefix: address.bytes.length * 8 };
}

/** Reports whether the range contains the address. False if their families differ. */
export function cidrContains(cidr: Cidr, address: Address): boolean {
  if (cidr.family !== address.family) return false;
  const whole = cidr.prefix >> 3;
  for (let i = 0; i < whole; i++) if (cidr.bytes[i] !== address.bytes[i]) return false;
  const rest = cidr.prefix & 7;
  if (rest === 0) return true;
  return (readU8(cidr.bytes, whole) ^ readU8(address.bytes, whole)) >> (8 - rest) === 0;
}

/** Returns the last address of the range; `bytes` is the first. */
export function lastAddress(cidr: Cidr): Uint8Array {
  return mask(cidr.bytes, cidr.prefix, 0xff);
}

/**
 * Returns the prefix length of the interval from `first` to `last`; undefined if it is not one
 * range.
 */
export function prefixLength(first: Uint8Array, last: Uint8Array): number | undefined {
  let prefix = 0;
  const bits = first.length * 8;
  const bit = (bytes: Uint8Array, i: number) => (readU8(bytes, i >> 3) >> (7 - (i & 7))) & 1;
  while (prefix < bits && bit(first, prefix) === bit(last, prefix)) prefix++;
  const cidr = { bytes: first, prefix };
  const whole =
    compareBytes(mask(first, prefix, 0), first) === 0 &&
    compareBytes(mask(cidr.bytes, prefix, 0xff), last) === 0;
  return whole ? prefix : undefined;
}

/**
 * Removes ranges that lie inside others, because the kernel refuses overlapping intervals. The
 * result is sorted. Two ranges either nest or are disjoint, so comparing each with the previous one
 * is enough.
 */
export function removeNested(cidrs: readonly Cidr[]): Cidr[] {
  const sorted = [...cidrs].sort((a, b) => compareAddresses(a, b) || a.prefix - b.prefix);
  const kept: Cidr[] = [];
  for (const cidr of sorted) {
    const before = kept.at(-1);
    if (before === undefined || !cidrContains(before, cidr)) kept.push(cidr);
  }
  return kept;
}

/** Returns the addresses that both lists contain, as sorted and disjoint ranges. */
export function intersectRanges(a: readonly Cidr[], b: readonly Cidr[]): Cidr[] {
  return removeNested(
    a.flatMap((one) =>
      b.flatMap((other) => {
        if (one.prefix <= other.prefix) return cidrContains(one, other) ? [other] : [];
        return cidrContains(other, one) ? [one] : [];
      }),
    ),
  );
}

/** Sets all bits after the prefix to the bits of `fill` (0 or 0xff). */
function mask(bytes: Uint8Array, prefix: number, fill: number): Uint8Array {
  const masked = bytes.slice();
  for (let i = 0; i < masked.length; i++) {
    const keep = Math.min(8, Math.max(0, prefix - i * 8));
    const network = (0xff << (8 - keep)) & 0xff;
    masked[i] = (readU8(masked, i) & network) | (fill & ~network);
  }
  return masked;
}
