/**
 * Frontends and addresses as keys that a Map holds cheaply and that sort as their addresses, protocols and ports do: a
 * number in IPv4, a string of bytes in IPv6. Node ports are negative, and so before everything else. Pure.
 */

import type { Family } from "../../net/address.ts";
import { printAddress } from "../../net/address.ts";

export type Key = number | string;

/** Numbers before strings. */
export function compareKeys(a: Key, b: Key): number {
  if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
  return typeof a === "number" ? -1 : 1;
}

/** In the order of their numbers of IP. */
const PROTOCOLS = ["tcp", "udp", "sctp"] as const;
export type ProtocolWord = (typeof PROTOCOLS)[number];

const NUMBERS: { readonly [protocol in ProtocolWord]: number } = { tcp: 6, udp: 17, sctp: 132 };

export function protocolNumber(protocol: ProtocolWord): number {
  return NUMBERS[protocol];
}

export function isProtocolWord(text: string): text is ProtocolWord {
  return text in NUMBERS;
}

/** Protocol and port below the address: 2 and 16 bits. */
const TAIL = 0x40000;
const BYTES = { 4: 4, 6: 16 } as const;

/** A key of tables that have an address first, whatever follows. */
export function addressKey(bytes: Uint8Array, family: Family): Key {
  if (family === 4) return readU32Big(bytes) * TAIL;
  return String.fromCharCode(...bytes.subarray(0, BYTES[6]));
}

/** An address, a protocol and a port as a table's key has them. Undefined: a protocol without a name here. */
export function frontendKey(bytes: Uint8Array, family: Family): Key | undefined {
  const tail = readTail(bytes, BYTES[family]);
  if (tail === undefined) return undefined;
  if (family === 4) return readU32Big(bytes) * TAIL + tail;
  return (
    String.fromCharCode(...bytes.subarray(0, BYTES[6])) +
    String.fromCharCode(tail >> 16, (tail >> 8) & 0xff, tail & 0xff)
  );
}

/** A protocol and a port as a table's key has them. */
export function nodePortKey(bytes: Uint8Array): Key | undefined {
  const tail = readTail(bytes, 0);
  return tail === undefined ? undefined : tail - TAIL;
}

/** The same, of words. */
export function nodePortKeyOf(protocol: ProtocolWord, port: number): Key {
  return PROTOCOLS.indexOf(protocol) * 0x10000 + port - TAIL;
}

export function frontendKeyOf(address: Uint8Array, protocol: ProtocolWord, port: number): Key {
  const family = address.length === 4 ? 4 : 6;
  const bytes = new Uint8Array(address.length + 8);
  bytes.set(address);
  bytes[address.length] = NUMBERS[protocol];
  bytes[address.length + 4] = port >> 8;
  bytes[address.length + 5] = port & 0xff;
  return frontendKey(bytes, family) as Key;
}

/** The key of its address alone; undefined for a node port. */
export function addressOf(key: Key): Key | undefined {
  if (typeof key === "string") return key.slice(0, BYTES[6]);
  return key < 0 ? undefined : Math.floor(key / TAIL) * TAIL;
}

export function isNodePort(key: Key): boolean {
  return typeof key === "number" && key < 0;
}

/** The protocol of a key of a frontend, and its port. */
export function protocolOf(key: Key): ProtocolWord {
  return PROTOCOLS[tailOf(key) >> 16] as ProtocolWord;
}

export function portOf(key: Key): number {
  return tailOf(key) & 0xffff;
}

function tailOf(key: Key): number {
  if (typeof key === "number") return key < 0 ? key + TAIL : key % TAIL;
  const [high, middle, low] = [16, 17, 18].map((at) => key.charCodeAt(at));
  return ((high as number) << 16) | ((middle as number) << 8) | (low as number);
}

/** The bytes of the address of a key, those behind `prefix` bits cleared. */
export function addressBytes(key: Key, prefix = 128): Uint8Array {
  const bytes = new Uint8Array(typeof key === "number" ? 4 : BYTES[6]);
  if (typeof key === "number") new DataView(bytes.buffer).setUint32(0, Math.floor(key / TAIL));
  else for (let i = 0; i < bytes.length; i++) bytes[i] = key.charCodeAt(i);
  for (let i = prefix >> 3; i < bytes.length; i++) {
    const keep = Math.max(0, prefix - i * 8);
    bytes[i] = (bytes[i] as number) & (0xff00 >> keep);
  }
  return bytes;
}

/** `10.96.0.1`. */
export function addressText(key: Key): string {
  if (typeof key === "string") return printAddress(addressBytes(key));
  const value = Math.floor(key / TAIL);
  return `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}`;
}

/** What keys have in common that share so many first bits. */
export function prefixKey(key: Key, prefix: number): Key {
  if (typeof key === "number") return Math.floor(key / (TAIL * 2 ** (32 - prefix)));
  const whole = prefix >> 3;
  const rest = prefix & 7;
  if (rest === 0) return key.slice(0, whole);
  return key.slice(0, whole) + String.fromCharCode(key.charCodeAt(whole) >> (8 - rest));
}

/** What keys of node ports have in common whose ports share all but so many last bits. */
export function portBlock(key: Key, bits: number): number {
  return Math.floor(((key as number) + TAIL) / 2 ** bits);
}

function readU32Big(bytes: Uint8Array): number {
  const high = ((bytes[0] as number) << 8) | (bytes[1] as number);
  return high * 0x10000 + (((bytes[2] as number) << 8) | (bytes[3] as number));
}

function readTail(bytes: Uint8Array, at: number): number | undefined {
  const protocol = bytes[at];
  const index = protocol === 6 ? 0 : protocol === 17 ? 1 : protocol === 132 ? 2 : undefined;
  if (index === undefined) return undefined;
  return index * 0x10000 + (((bytes[at + 4] as number) << 8) | (bytes[at + 5] as number));
}
