/**
 * Packs frontends, node ports and addresses into keys that are cheap in a Map. Keys are numbers for
 * IPv4 and for node ports, and short strings for IPv6. All functions are pure.
 *
 *   number:  address (32 bits) | protocol (2 bits) | port (16 bits), all within 53 bits.
 *            Node ports have -1 (IPv4) or -2 (IPv6) in place of the address.
 *   string:  the 16 bytes of the address; for a frontend 3 more: protocol, high and low byte of
 *            the port.
 *
 * Two keys are equal exactly if packets cannot distinguish their frontends. The keys of one family
 * sort by address, then protocol, then port. Node ports come first; an address alone comes before
 * its frontends.
 */
import { readU32BE } from "../base/bytes.ts";
import { type Family, printAddress, printIPv4 } from "../net/address.ts";
import { isProtocol, PROTOCOLS, type Protocol } from "../net/protocol.ts";
import { isNodePortTable, readAddress, readPort, readProtocol } from "./table-keys.ts";
import { type TableId, tableFamily } from "./tables.ts";

/** A frontend, a node port, or an address alone. */
export type FrontendKey = number | string;

/** Number of values of protocol and port together, the low bits of a key. */
const TAILS = 2 ** 18;
const PORT_BITS = 16;
const PORT_MASK = 0xffff;
/** Length of the address in a string key, in characters. */
const ADDRESS_LENGTH = 16;

/** Returns the key of an address and a port. */
export function frontendKey(address: Uint8Array, protocol: Protocol, port: number): FrontendKey {
  const tail = packTail(protocol, port);
  if (address.length === 4) return readU32BE(address, 0) * TAILS + tail;
  return String.fromCharCode(...address, tail >> PORT_BITS, (tail >> 8) & 0xff, tail & 0xff);
}

/** Returns the key of a port on every address of one family that serves node ports. */
export function nodePortKey(family: Family, protocol: Protocol, port: number): FrontendKey {
  return (family === 4 ? -1 : -2) * TAILS + packTail(protocol, port);
}

/** Returns the key of an address alone, which covers all its protocols and ports. */
export function addressKey(address: Uint8Array): FrontendKey {
  if (address.length === 4) return readU32BE(address, 0) * TAILS;
  return String.fromCharCode(...address);
}

/**
 * Reads the frontend or node port at the start of a table's key. Undefined if no Service can have
 * its protocol.
 */
export function readFrontendKey(table: TableId, key: Uint8Array): FrontendKey | undefined {
  const protocol = readProtocol(table, key);
  if (!isProtocol(protocol)) return undefined;
  const port = readPort(table, key);
  const family = tableFamily(table);
  if (isNodePortTable(table)) return nodePortKey(family, protocol, port);
  if (family === 4) return readU32BE(key, 0) * TAILS + packTail(protocol, port);
  return frontendKey(readAddress(table, key), protocol, port);
}

/** Reads the first address of a table's key. */
export function readAddressKey(table: TableId, key: Uint8Array): FrontendKey {
  if (tableFamily(table) === 4) return readU32BE(key, 0) * TAILS;
  return addressKey(readAddress(table, key));
}

/** Orders keys; numbers come before strings. */
export function compareKeys(a: FrontendKey, b: FrontendKey): number {
  if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
  return typeof a === "number" ? -1 : 1;
}

export function isNodePort(key: FrontendKey): boolean {
  return typeof key === "number" && key < 0;
}

/** Returns the protocol of a frontend or node port. */
export function protocolOf(key: FrontendKey): Protocol {
  switch (tailOf(key) >> PORT_BITS) {
    case 1:
      return PROTOCOLS.TCP;
    case 2:
      return PROTOCOLS.UDP;
    default:
      return PROTOCOLS.SCTP;
  }
}

export function portOf(key: FrontendKey): number {
  return tailOf(key) & PORT_MASK;
}

/** Returns the key of a frontend's address alone. Undefined for a node port. */
export function addressOf(key: FrontendKey): FrontendKey | undefined {
  if (typeof key === "string") return key.slice(0, ADDRESS_LENGTH);
  return key < 0 ? undefined : Math.floor(key / TAILS) * TAILS;
}

/** Returns the address bytes of a key, with all bits after the first `prefix` cleared. */
export function addressBytes(key: FrontendKey, prefix = 128): Uint8Array {
  const bytes = new Uint8Array(typeof key === "number" ? 4 : ADDRESS_LENGTH);
  if (typeof key === "number") new DataView(bytes.buffer).setUint32(0, Math.floor(key / TAILS));
  else for (let i = 0; i < bytes.length; i++) bytes[i] = key.charCodeAt(i);
  for (let i = prefix >> 3; i < bytes.length; i++) {
    const keep = Math.max(0, prefix - i * 8);
    bytes[i] = (bytes[i] as number) & (0xff00 >> keep);
  }
  return bytes;
}

/** Returns the address of a key as text: `10.96.0.1`. */
export function addressText(key: FrontendKey): string {
  return typeof key === "string"
    ? printAddress(addressBytes(key))
    : printIPv4(Math.floor(key / TAILS));
}

/**
 * Returns a value that is equal for two keys of one family exactly if their addresses share the
 * first `prefix` bits.
 */
export function prefixKey(key: FrontendKey, prefix: number): FrontendKey {
  if (typeof key === "number") return Math.floor(key / (TAILS * 2 ** (32 - prefix)));
  const whole = prefix >> 3;
  const rest = prefix & 7;
  if (rest === 0) return key.slice(0, whole);
  return key.slice(0, whole) + String.fromCharCode(key.charCodeAt(whole) >> (8 - rest));
}

/**
 * Returns a value that two keys share exactly if their protocols are equal and their ports differ
 * at most in the last `bits` bits.
 */
export function portBlock(key: FrontendKey, bits: number): number {
  return tailOf(key) >> bits;
}

/** Numbers the protocols from 1, in the order of their IP protocol numbers. */
function packTail(protocol: Protocol, port: number): number {
  const index = protocol === PROTOCOLS.TCP ? 1 : protocol === PROTOCOLS.UDP ? 2 : 3;
  return (index << PORT_BITS) | port;
}

function tailOf(key: FrontendKey): number {
  // This also holds for negative numbers, because the low bits of two's complement are the tail.
  if (typeof key === "number") return key & (TAILS - 1);
  return (
    (key.charCodeAt(ADDRESS_LENGTH) << PORT_BITS) |
    (key.charCodeAt(ADDRESS_LENGTH + 1) << 8) |
    key.charCodeAt(ADDRESS_LENGTH + 2)
  );
}
