// Texts of the API as numbers: addresses, ranges, times.
//
// Addresses are read as leniently as kube-proxy does (Go's ParseIPSloppy): leading zeros are decimal,
// IPv6 in either case, and an IPv4-mapped IPv6 address is IPv4.

/** The address or range read last: family 4 or 6, prefix length, 16 bytes of which IPv4 uses the first 4. */
export let parsedFamily: u8 = 0;
export let parsedPrefix: u8 = 0;
export const parsedAddress: usize = memory.data(16);

const BIG: u32 = 0xff_ffff;
let at: usize = 0;
let end: usize = 0;

/** Reads an address into `parsed*`, with the prefix length of a single address. */
export function parseAddress(from: usize, length: usize): bool {
  if (!parseEither(from, length)) return false;
  if (parsedFamily == 6 && isMapped()) unmap();
  parsedPrefix = parsedFamily == 4 ? 32 : 128;
  return true;
}

/** Reads `address/prefix` into `parsed*`, host bits cleared. White space around it is allowed. */
export function parseRange(from: usize, length: usize): bool {
  let first = from;
  let last = from + length;
  while (first < last && isSpace(load<u8>(first))) first++;
  while (first < last && isSpace(load<u8>(last - 1))) last--;
  let slash = first;
  while (slash < last && load<u8>(slash) != 0x2f) slash++;
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

/** RFC 3339 as milliseconds since the epoch, fractions cut; NaN if it is none. */
export function parseTime(from: usize, length: usize): f64 {
  if (length < 20) return NaN;
  end = from + length;
  const year = digits(from, 4);
  const month = digits(from + 5, 2);
  const day = digits(from + 8, 2);
  const hour = digits(from + 11, 2);
  const minute = digits(from + 14, 2);
  const second = digits(from + 17, 2);
  if ((year | month | day | hour | minute | second) < 0) return NaN;
  if (
    load<u8>(from + 4) != 0x2d ||
    load<u8>(from + 7) != 0x2d ||
    (load<u8>(from + 10) | 0x20) != 0x74
  )
    return NaN;
  if (load<u8>(from + 13) != 0x3a || load<u8>(from + 16) != 0x3a) return NaN;
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
  at = from + 19;
  let millis: i32 = 0;
  if (load<u8>(at) == 0x2e) {
    let scale = 100;
    const first = ++at;
    for (; at < end && isDigit(load<u8>(at)); at++) {
      millis += (load<u8>(at) - 0x30) * scale;
      scale /= 10;
    }
    if (at == first) return NaN;
  }
  if (at >= end) return NaN;
  let offset = 0;
  const sign = load<u8>(at);
  if ((sign | 0x20) == 0x7a) {
    if (at + 1 != end) return NaN;
  } else {
    if ((sign != 0x2b && sign != 0x2d) || at + 6 != end || load<u8>(at + 3) != 0x3a) return NaN;
    const hours = digits(at + 1, 2);
    const minutes = digits(at + 4, 2);
    if ((hours | minutes) < 0 || hours > 23 || minutes > 59) return NaN;
    offset = (hours * 60 + minutes) * (sign == 0x2d ? -60 : 60);
  }
  const seconds =
    <i64>daysSinceEpoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
  return <f64>seconds * 1000 + <f64>millis;
}

function parseEither(from: usize, length: usize): bool {
  at = from;
  end = from + length;
  store<u64>(parsedAddress, 0);
  store<u64>(parsedAddress, 0, 8);
  for (let look = from; look < end; look++) {
    const byte = load<u8>(look);
    if (byte == 0x2e) return parse4(parsedAddress);
    if (byte == 0x3a) return parse6();
  }
  return false;
}

function parse4(target: usize): bool {
  for (let i: usize = 0; i < 4; i++) {
    if (i && (at >= end || load<u8>(at++) != 0x2e)) return false;
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
  if (end - at >= 2 && load<u16>(at) == 0x3a3a) {
    gap = 0;
    at += 2;
  }
  while (filled < 16 && at < end) {
    const start = at;
    const group = readHex();
    if (group < 0 || group > 0xffff) return false;
    if (at < end && load<u8>(at) == 0x2e) {
      if ((gap < 0 && filled != 12) || filled > 12) return false;
      at = start;
      if (!parse4(parsedAddress + filled)) return false;
      filled += 4;
      break;
    }
    store<u8>(parsedAddress + filled, group >> 8);
    store<u8>(parsedAddress + filled + 1, group);
    filled += 2;
    if (at == end) break;
    if (load<u8>(at) != 0x3a || at + 1 == end) return false;
    at++;
    if (load<u8>(at) == 0x3a) {
      if (gap >= 0) return false;
      gap = filled;
      at++;
    }
  }
  if (at != end) return false;
  if (filled < 16) {
    if (gap < 0) return false;
    const shift: usize = 16 - filled;
    memory.copy(parsedAddress + gap + shift, parsedAddress + gap, filled - gap);
    memory.fill(parsedAddress + gap, 0, shift);
  } else if (gap >= 0) return false;
  parsedFamily = 6;
  return true;
}

function isMapped(): bool {
  return load<u64>(parsedAddress) == 0 && load<u32>(parsedAddress, 8) == 0xffff0000;
}

function unmap(): void {
  const address = load<u32>(parsedAddress, 12);
  memory.fill(parsedAddress, 0, 16);
  store<u32>(parsedAddress, address);
  parsedFamily = 4;
}

function clearHostBits(prefix: u32, bits: u32): void {
  for (let bit = prefix; bit < bits; bit++) {
    const byte = parsedAddress + (bit >> 3);
    store<u8>(byte, <u32>load<u8>(byte) & ~(<u32>0x80 >> (bit & 7)));
  }
}

/** -1 without a digit, or beyond 2^24. */
function readDecimal(): i32 {
  const start = at;
  let value: u32 = 0;
  for (; at < end && isDigit(load<u8>(at)); at++) {
    value = value * 10 + load<u8>(at) - 0x30;
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
    const lower = byte | 0x20;
    if (isDigit(byte)) value = (value << 4) + byte - 0x30;
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
    value = value * 10 + byte - 0x30;
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

/** Days from 1970-01-01 in the Gregorian calendar, counting years from March. */
function daysSinceEpoch(year: i32, month: i32, day: i32): i32 {
  const marchYear = month > 2 ? year : year - 1;
  const era = marchYear / 400;
  const ofEra = marchYear - era * 400;
  const ofYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * 146097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719468;
}
