/** Encodes and decodes `struct sockaddr_in` and `sockaddr_in6`. */
import { parseAddress, printAddress } from "../../src/net/address.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SIZE4 = 16;
const SIZE6 = 28;

/** Writes the address and returns its size. `bytes` must have room for 28. */
export function writeSockaddr(bytes: Uint8Array, address: string, port: number): number {
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new Error(`Not an address: ${address}`);
  const six = parsed.family === 6;
  bytes.fill(0);
  new DataView(bytes.buffer).setUint16(0, six ? AF_INET6 : AF_INET, true);
  new DataView(bytes.buffer).setUint16(2, port, false);
  bytes.set(parsed.bytes, six ? 8 : 4);
  return six ? SIZE6 : SIZE4;
}

/** Reads an address that the kernel wrote. */
export function readSockaddr(bytes: Uint8Array): { address: string; port: number } {
  const view = new DataView(bytes.buffer);
  const six = view.getUint16(0, true) === AF_INET6;
  const address = six ? bytes.subarray(8, 24) : bytes.subarray(4, 8);
  return {
    address: printAddress(address),
    port: view.getUint16(2, false),
  };
}
