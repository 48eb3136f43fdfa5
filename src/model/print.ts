/** Prints endpoints and ranges of addresses. */

import {
  ENDPOINT4_IP,
  ENDPOINT4_PORT,
  ENDPOINT4_STRIDE,
  ENDPOINT6_IP,
  ENDPOINT6_PORT,
} from "../../asm/layout/choice.ts";
import { readU16BE, readU32BE } from "../base/bytes.ts";
import { printAddress, printAddressPort, printIPv4 } from "../net/address.ts";
import { prefixLength } from "../net/cidr.ts";
import type { AddressRange } from "./table-keys.ts";

/** Prints the bytes of an endpoint value: `10.1.0.5:8080`, `[fd00::5]:8080`. */
export function printEndpoint(value: Uint8Array): string {
  // The iptables backend prints every endpoint at start, so IPv4 avoids creating a view.
  if (value.length === ENDPOINT4_STRIDE) {
    return `${printIPv4(readU32BE(value, ENDPOINT4_IP))}:${readU16BE(value, ENDPOINT4_PORT)}`;
  }
  const address = value.subarray(ENDPOINT6_IP, ENDPOINT6_PORT);
  return printAddressPort(address, readU16BE(value, ENDPOINT6_PORT));
}

/** Prints a range as `10.0.0.0/8`, or as `10.0.0.1-10.0.0.5` if it is not a prefix. */
export function printRange({ first, last }: AddressRange): string {
  const prefix = prefixLength(first, last);
  if (prefix === undefined) return `${printAddress(first)}-${printAddress(last)}`;
  return `${printAddress(first)}/${prefix}`;
}
