// Parses texts of the API into numbers: addresses, ranges, times.
//
// Addresses are parsed as leniently as in kube-proxy (Go's ParseIPSloppy). Numbers with leading
// zeros are decimal, IPv6 is case-insensitive, and an IPv4-mapped IPv6 address counts as IPv4.

import { HALF, IPV4_BYTES, IPV6_BYTES } from "../memory/bytes";

// Record MAPPED, MAPPED_BYTES = 16 bytes: an IPv4 address as IPv6
//    0 u64 ZERO    8 u32 MARK: MAPPED_MARK_IS    12 u8[4] IPV4
const MAPPED_ZERO: usize = 0;
const MAPPED_MARK: usize = 8;
const MAPPED_IPV4: usize = 12;
const MAPPED_BYTES: usize = 16;
/** ::ffff, in network byte order. */
const MAPPED_MARK_IS: u32 = 0xffff0000;

// Record TIME, TIME_HEADER = 19 bytes: RFC 3339, such as 2026-01-31T23:59:59.5Z
//    0 u8[4] YEAR      7 u8 DASH2     13 u8 COLON1
//    4 u8 DASH1        8 u8[2] DAY    14 u8[2] MINUTE
//    5 u8[2] MONTH    10 u8 T         16 u8 COLON2
//                     11 u8[2] HOUR   17 u8[2] SECOND    19 u8[] FRACTION: optional, then the zone
const TIME_YEAR: usize = 0;
const TIME_DASH1: usize = 4;
const TIME_MONTH: usize = 5;
const TIME_DASH2: usize = 7;
const TIME_DAY: usize = 8;
const TIME_T: usize = 10;
const TIME_HOUR: usize = 11;
const TIME_COLON1: usize = 13;
const TIME_MINUTE: usize = 14;
const TIME_COLON2: usize = 16;
const TIME_SECOND: usize = 17;
const TIME_FRACTION: usize = 19;
const TIME_HEADER: usize = 19;

// Record ZONE, ZONE_BYTES = 6 bytes: +01:30
//    0 u8 SIGN    1 u8[2] HOUR    3 u8 COLON    4 u8[2] MINUTE
const ZONE_SIGN: usize = 0;
const ZONE_HOUR: usize = 1;
const ZONE_COLON: usize = 3;
const ZONE_MINUTE: usize = 4;
const ZONE_BYTES: usize = 6;

/**
 * The address or range parsed last: family 4 or 6, prefix length, and 16 bytes. IPv4 uses the first
 * 4 bytes.
 */
export let parsedFamily: u8 = 0;
export let parsedPrefix: u8 = 0;
export const parsedAddress: usize = memory.data(IPV6_BYTES);

const BIG: u32 = 0xff_ffff;
const NO_ZONE: i32 = i32.MAX_VALUE;

// ASCII
const PLUS: u8 = 0x2b;
const DASH: u8 = 0x2d;
const DOT: u8 = 0x2e;
const SLASH: u8 = 0x2f;
const ZERO: u8 = 0x30;
const COLON: u8 = 0x3a;
const TWO_COLONS: u16 = 0x3a3a;
const LOWER_T: u8 = 0x74;
const LOWER_Z: u8 = 0x7a;
/** The bit that turns an ASCII letter into lower case. */
const LOWER_CASE: u8 = 0x20;

let at: usize = 0;
let end: usize = 0;

/** Parses an address into `parsed*`, with the prefix length of a single address. */
export function parseAddress(from: usize, length: usize): bool {
  if (!parseEither(from, length)) return false;
  if (parsedFamily == 6 && isMapped()) unmap();
  parsedPrefix = parsedFamily == 4 ? 32 : 128;
  return true;
}

/**
 * Parses `address/prefix` into `parsed*` and clears the host bits. Surrounding white space is
 * allowed.
 */
export function parseRange(from: usize, length: usize): bool {
  let first = from;
  let last = from + length;
  while (first < last && isSpace(load<u8>(first))) first++;
  while (first < last && isSpace(load<u8>(last - 1))) last--;
  let slash = first;
  while (slash < last && load<u8>(slash) != SLASH) slash++;
  if (slash == last || !parseEither(first, slash - first)) return false;
  at = slash + 1;
  end = last;
  const prefix = readDecimal();
  const bits: u32 = parsedFamily == 4 ? 32 : 128;
  if (prefix < 0 || at != end || <u32>prefix > bits) return false;
  clearHostBits(prefix, bits);
  parsedPrefix = <u8>prefix;
  if (parsedFamily == 6 && prefix >= 96 && isMapped()) {
    unmap();
    parsedPrefix = <u8>(prefix - 96);
  }
  return true;
}

/** Parses RFC 3339 into milliseconds since the epoch and truncates fractions. NaN if invalid. */
export function parseTime(from: usize, length: usize): f64 {
  if (length <= TIME_HEADER) return NaN;
  end = from + length;
  const year = digits(from + TIME_YEAR, 4);
  const month = digits(from + TIME_MONTH, 2);
  const day = digits(from + TIME_DAY, 2);
  const hour = digits(from + TIME_HOUR, 2);
  const minute = digits(from + TIME_MINUTE, 2);
  const second = digits(from + TIME_SECOND, 2);
  if ((year | month | day | hour | minute | second) < 0) return NaN;
  if (
    load<u8>(from, TIME_DASH1) != DASH ||
    load<u8>(from, TIME_DASH2) != DASH ||
    (load<u8>(from, TIME_T) | LOWER_CASE) != LOWER_T ||
    load<u8>(from, TIME_COLON1) != COLON ||
    load<u8>(from, TIME_COLON2) != COLON
  )
    return NaN;
  if (
    month < 1 ||
    month > 12 ||
    day < 1 ||
    day > daysOf(year, month) ||
    hour > 23 ||
    minute > 59 ||
    second > 59
  )
    return NaN;
  at = from + TIME_FRACTION;
  const millis = readFraction();
  const offset = readZone();
  if (millis < 0 || offset == NO_ZONE) return NaN;
  const seconds =
    <i64>daysSinceEpoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
  return <f64>seconds * 1000 + <f64>millis;
}

/** Reads a fraction at the cursor as milliseconds: 0 if absent, -1 if it has no digit. */
function readFraction(): i32 {
  if (load<u8>(at) != DOT) return 0;
  let millis: i32 = 0;
  let scale = 100;
  const first = ++at;
  for (; at < end && isDigit(load<u8>(at)); at++) {
    millis += (load<u8>(at) - ZERO) * scale;
    scale /= 10;
  }
  return at == first ? -1 : millis;
}

/** Reads the zone from the cursor to the end as seconds east of UTC; NO_ZONE if invalid. */
function readZone(): i32 {
  if (at >= end) return NO_ZONE;
  const sign = load<u8>(at, ZONE_SIGN);
  if ((sign | LOWER_CASE) == LOWER_Z) return at + 1 == end ? 0 : NO_ZONE;
  if ((sign != PLUS && sign != DASH) || at + ZONE_BYTES != end) return NO_ZONE;
  if (load<u8>(at, ZONE_COLON) != COLON) return NO_ZONE;
  const hours = digits(at + ZONE_HOUR, 2);
  const minutes = digits(at + ZONE_MINUTE, 2);
  if ((hours | minutes) < 0 || hours > 23 || minutes > 59) return NO_ZONE;
  return (hours * 60 + minutes) * (sign == DASH ? -60 : 60);
}

function parseEither(from: usize, length: usize): bool {
  at = from;
  end = from + length;
  store<u64>(parsedAddress, 0);
  store<u64>(parsedAddress, 0, HALF);
  for (let look = from; look < end; look++) {
    const byte = load<u8>(look);
    if (byte == DOT) return parse4(parsedAddress);
    if (byte == COLON) return parse6();
  }
  return false;
}

function parse4(target: usize): bool {
  for (let i: usize = 0; i < IPV4_BYTES; i++) {
    if (i && (at >= end || load<u8>(at++) != DOT)) return false;
    const octet = readDecimal();
    if (octet < 0 || octet > 255) return false;
    store<u8>(target + i, octet);
  }
  parsedFamily = 4;
  return at == end;
}

function parse6(): bool {
  let filled: usize = 0;
  let gap: isize = -1;
  if (end - at >= 2 && load<u16>(at) == TWO_COLONS) {
    gap = 0;
    at += 2;
  }
  while (filled < IPV6_BYTES && at < end) {
    const start = at;
    const group = readHex();
    if (group < 0 || group > 0xffff) return false;
    if (at < end && load<u8>(at) == DOT) {
      if ((gap < 0 && filled != MAPPED_IPV4) || filled > MAPPED_IPV4) return false;
      at = start;
      if (!parse4(parsedAddress + filled)) return false;
      filled += IPV4_BYTES;
      break;
    }
    store<u16>(parsedAddress + filled, bswap<u16>(<u16>group));
    filled += sizeof<u16>();
    if (at == end) break;
    if (load<u8>(at) != COLON || at + 1 == end) return false;
    at++;
    if (load<u8>(at) == COLON) {
      if (gap >= 0) return false;
      gap = filled;
      at++;
    }
  }
  if (at != end) return false;
  if (filled < IPV6_BYTES) {
    if (gap < 0) return false;
    const shift: usize = IPV6_BYTES - filled;
    memory.copy(parsedAddress + gap + shift, parsedAddress + gap, filled - gap);
    memory.fill(parsedAddress + gap, 0, shift);
  } else if (gap >= 0) return false;
  parsedFamily = 6;
  return true;
}

function isMapped(): bool {
  return (
    load<u64>(parsedAddress, MAPPED_ZERO) == 0 &&
    load<u32>(parsedAddress, MAPPED_MARK) == MAPPED_MARK_IS
  );
}

function unmap(): void {
  const address = load<u32>(parsedAddress, MAPPED_IPV4);
  memory.fill(parsedAddress, 0, MAPPED_BYTES);
  store<u32>(parsedAddress, address);
  parsedFamily = 4;
}

function clearHostBits(prefix: u32, bits: u32): void {
  for (let bit = prefix; bit < bits; bit++) {
    const byte = parsedAddress + (bit >> 3);
    store<u8>(byte, <u32>load<u8>(byte) & ~(<u32>0x80 >> (bit & 7)));
  }
}

/** Returns -1 if there is no digit, or if the number exceeds 2^24. */
function readDecimal(): i32 {
  const start = at;
  let value: u32 = 0;
  for (; at < end && isDigit(load<u8>(at)); at++) {
    value = value * 10 + load<u8>(at) - ZERO;
    if (value >= BIG) return -1;
  }
  return at == start ? -1 : value;
}

/** @see readDecimal */
function readHex(): i32 {
  const start = at;
  let value: u32 = 0;
  for (; at < end; at++) {
    const byte = load<u8>(at);
    const lower = byte | LOWER_CASE;
    if (isDigit(byte)) value = (value << 4) + byte - ZERO;
    else if (lower >= 0x61 && lower <= 0x66) value = (value << 4) + lower - 0x57;
    else break;
    if (value >= BIG) return -1;
  }
  return at == start ? -1 : value;
}

function digits(from: usize, count: i32): i32 {
  let value = 0;
  for (let i = 0; i < count; i++) {
    const byte = load<u8>(from + i);
    if (!isDigit(byte)) return -1;
    value = value * 10 + byte - ZERO;
  }
  return value;
}

function isDigit(byte: u8): bool {
  return byte >= 0x30 && byte <= 0x39;
}

function isSpace(byte: u8): bool {
  return byte == 0x20 || (byte >= 9 && byte <= 13);
}

function daysOf(year: i32, month: i32): i32 {
  if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/** Computes days since 1970-01-01 in the Gregorian calendar, with years that start in March. */
function daysSinceEpoch(year: i32, month: i32, day: i32): i32 {
  const marchYear = month > 2 ? year : year - 1;
  const era = marchYear / 400;
  const ofEra = marchYear - era * 400;
  const ofYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * 146097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719468;
}
