/** Comparing addresses. Their text is address.ts's business. */
import type { Address } from "./address.ts";

/** Order of addresses: IPv4 before IPv6, then by their bytes. 0 when equal. */
export function compareAddresses(a: Address, b: Address): number {
  return a.family - b.family || compareBytes(a.bytes, b.bytes);
}

/** Order of two byte strings of the same length. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** 127.0.0.0/8 and ::1. */
export function isLoopback(address: Address): boolean {
  if (address.family === 4) return address.bytes[0] === 127;
  return address.bytes.every((byte, i) => byte === (i === 15 ? 1 : 0));
}

/** 0.0.0.0 and ::, which stand for "any" in a bind address. */
export function isUnspecified(address: Address): boolean {
  return address.bytes.every((byte) => byte === 0);
}

/** fe80::/10 and 169.254.0.0/16. */
export function isLinkLocal({ family, bytes }: Address): boolean {
  const [first = 0, second = 0] = bytes;
  if (family === 4) return first === 169 && second === 254;
  return first === 0xfe && (second & 0xc0) === 0x80;
}
