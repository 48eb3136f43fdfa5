/**
 * Parses, prints and compares IP addresses and ranges, and recognizes special ones. All functions
 * are pure.
 */
import { readU8, readU16BE, readU32BE } from "../base/bytes.ts";

/** IP version, 4 or 6. */
export type Family = 4 | 6;

/** Bytes of an address. */
export const ADDRESS_BYTES = { 4: 4, 6: 16 } as const;

/** An IP address in network byte order, 4 or 16 bytes. */
export interface Address {
  readonly family: Family;
  readonly bytes: Uint8Array;
}

/** An address range. The host bits of `bytes` are 0. */
export interface Cidr extends Address {
  readonly prefix: number;
}

/**
 * Parses an address as Kubernetes does (netutils.ParseIPSloppy). Numbers may have leading zeros,
 * and IPv4 numbers are decimal. Zones and brackets are not allowed. As in Go, an IPv4-mapped IPv6
 * address counts as IPv4. Undefined if the text is not an address.
 */
export function parseAddress(text: string): Address | undefined {
  const bytes = parseBytes(text);
  if (!bytes) return undefined;
  if (isMapped(bytes)) return { family: 4, bytes: bytes.slice(12) };
  return { family: bytes.length === 4 ? 4 : 6, bytes };
}

/**
 * Parses `address/prefix` as netutils.ParseCIDRSloppy does, except that the prefix must not have
 * leading zeros. Host bits are cleared. As in Go, the prefix of an IPv4-mapped address counts from
 * the start of the IPv6 address. Undefined if the text is not a range.
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  const digits = text.slice(slash + 1);
  if (slash < 0 || !/^(0|[1-9]\d{0,2})$/.test(digits)) return undefined;
  const address = parseBytes(text.slice(0, slash));
  const prefix = Number(digits);
  if (!address || prefix > address.length * 8) return undefined;
  const bytes = address.map((byte, index) => {
    const kept = Math.min(8, Math.max(0, prefix - index * 8));
    return byte & (0xff00 >> kept);
  });
  if (prefix >= 96 && isMapped(bytes)) {
    return { family: 4, bytes: bytes.slice(12), prefix: prefix - 96 };
  }
  return { family: bytes.length === 4 ? 4 : 6, bytes, prefix };
}

/** Prints an address given as a number: `10.96.0.1`. */
export function printIPv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 0xff}.${(address >>> 8) & 0xff}.${address & 0xff}`;
}

/** Prints 4 bytes in dotted form, and 16 bytes as in RFC 5952. */
export function printAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return printIPv4(readU32BE(bytes, 0));
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(readU16BE(bytes, at));
  const gap = longestZeros(groups);
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (gap.length < 2) return hex(groups);
  return `${hex(groups.slice(0, gap.start))}::${hex(groups.slice(gap.start + gap.length))}`;
}

/** Prints a range: `10.0.0.0/8`. */
export function printCidr(cidr: Cidr): string {
  return `${printAddress(cidr.bytes)}/${cidr.prefix}`;
}

/** Prints an address and a port: `10.0.0.1:80`, `[fd00::1]:80`. */
export function printAddressPort(bytes: Uint8Array, port: number): string {
  return bytes.length === 4 ? `${printAddress(bytes)}:${port}` : `[${printAddress(bytes)}]:${port}`;
}

/** Splits `ip:port`; IPv6 must be in brackets. Undefined if the text has another form. */
export function parseListenAddress(
  text: string,
): { readonly hostname: string; readonly port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  const hostname = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  const bracketed = match?.[1] !== undefined;
  if (!parseAddress(hostname) || bracketed !== hostname.includes(":")) return undefined;
  return port >= 1 && port <= 65535 ? { hostname, port } : undefined;
}

/** Orders addresses: IPv4 before IPv6, then by bytes. Returns 0 if they are equal. */
export function compareAddresses(a: Address, b: Address): number {
  return a.family - b.family || compareBytes(a.bytes, b.bytes);
}

/** Orders two byte arrays of the same length. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) {
    const difference = readU8(a, i) - readU8(b, i);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Matches 127.0.0.0/8 and ::1. */
export function isLoopback(address: Address): boolean {
  if (address.family === 4) return address.bytes[0] === 127;
  return address.bytes.every((byte, i) => byte === (i === 15 ? 1 : 0));
}

/** Matches 0.0.0.0 and ::, which mean "any" in a bind address. */
export function isUnspecified(address: Address): boolean {
  return address.bytes.every((byte) => byte === 0);
}

/** Matches fe80::/10 and 169.254.0.0/16. */
export function isLinkLocal({ family, bytes }: Address): boolean {
  const [first = 0, second = 0] = bytes;
  if (family === 4) return first === 169 && second === 254;
  return first === 0xfe && (second & 0xc0) === 0x80;
}

/** Returns 4 or 16 bytes, by the notation. */
function parseBytes(text: string): Uint8Array | undefined {
  return text.includes(":") ? parseIPv6(text) : parseIPv4(text);
}

/** Matches ::ffff:0:0/96. */
function isMapped(bytes: Uint8Array): boolean {
  const zeros = bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0);
  return zeros && bytes[10] === 0xff && bytes[11] === 0xff;
}

function parseIPv4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    if (!/^\d+$/.test(part) || Number(part) > 255) return undefined;
    bytes[index] = Number(part);
  }
  return bytes;
}

function parseIPv6(text: string): Uint8Array | undefined {
  let body = text;
  const dotted = text.lastIndexOf(":") + 1;
  if (text.includes(".")) {
    const tail = parseIPv4(text.slice(dotted));
    if (!tail) return undefined;
    const [a, b, c, d] = tail as unknown as [number, number, number, number];
    body = `${text.slice(0, dotted)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const halves = body.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === "" ? [] : half.split(":")));
  if (!head) return undefined;
  const given = head.length + (tail?.length ?? 0);
  if (tail ? given > 7 : given !== 8) return undefined;
  const groups = [...head, ...new Array<string>(8 - given).fill("0"), ...(tail ?? [])];
  const bytes = new Uint8Array(16);
  for (const [index, group] of groups.entries()) {
    if (!/^0*[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    const value = Number.parseInt(group, 16);
    bytes[index * 2] = value >> 8;
    bytes[index * 2 + 1] = value & 0xff;
  }
  return bytes;
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let index = 0; index <= groups.length; index++) {
    if (groups[index] === 0) continue;
    if (index - start > best.length) best = { start, length: index - start };
    start = index + 1;
  }
  return best;
}
