/** Which frontends of UDP some operations are about: the flows to them may have to follow. */

import { OP_HEADER } from "../../asm/layout.ts";
import {
  type Family,
  keySize,
  TABLE_IDS,
  type TableId,
  tableFamily,
  tableKind,
  valueSize,
} from "../plan/tables.ts";
import { PROTOCOLS } from "../types.ts";

/**
 * A frontend as a text that can be looked up: the family, then the bytes of its key in hexadecimal, without
 * an address for a node port.
 */
export type FrontendText = string & { readonly brand: "FrontendText" };

/** `key`: address, protocol and port as in the keys of tables; or protocol and port. */
export function frontendText(family: Family, key: Uint8Array): FrontendText {
  return `${family}${key.toHex()}` as FrontendText;
}

interface Shape {
  readonly family: Family;
  readonly key: number;
  readonly value: number;
  /** Offset of the protocol in the key; -1 for tables without frontends. */
  readonly protocol: number;
  /** Bytes of the key that are the frontend. */
  readonly frontend: number;
}

/** Tables that say where a frontend leads. */
const SHAPES: readonly Shape[] = TABLE_IDS.map(shapeOf);

/** Adds the frontends of UDP that the operations of `region` (asm/layout.ts) change. */
export function collectUdpFrontends(region: Uint8Array, into: Set<FrontendText>): void {
  let last: Shape | undefined;
  let lastKey = 0;
  for (let at = 0; at < region.byteLength; ) {
    const shape = SHAPES[region[at + 1] ?? 0] as Shape;
    const key = at + OP_HEADER;
    at = key + shape.key + shape.value;
    if (shape.protocol < 0 || region[key + shape.protocol] !== PROTOCOLS.UDP) continue;
    // The slots of one frontend follow each other.
    const again = shape === last && same(region, lastKey, key, shape.frontend);
    last = shape;
    lastKey = key;
    if (again) continue;
    into.add(frontendText(shape.family, region.subarray(key, key + shape.frontend)));
  }
}

function shapeOf(id: TableId): Shape {
  const kind = tableKind(id);
  const { key, value } = kind;
  const leads =
    (value === "action" && !kind.name.endsWith("learn")) || value === "endpoint"
      ? key.indexOf("protocol")
      : -1;
  const family = tableFamily(id);
  const address = key[0] === "address" ? (family === 4 ? 4 : 16) : 0;
  return {
    family,
    key: keySize(id),
    value: valueSize(id),
    protocol: leads < 0 ? -1 : address,
    frontend: address + 8,
  };
}

function same(bytes: Uint8Array, one: number, other: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (bytes[one + i] !== bytes[other + i]) return false;
  return true;
}
