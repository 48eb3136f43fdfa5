/**
 * Reads the fields of table keys and endpoint values. tables.ts defines which fields each table
 * has.
 */
import { KEY_BYTES, KEY_PORT, KEY_PROTOCOL } from "../../asm/layout/key.ts";
import { readU8, readU16BE, readU32LE } from "../base/bytes.ts";
import { ADDRESS_BYTES } from "../net/address.ts";
import {
  fieldSize,
  type KeyFieldName,
  TABLE_IDS,
  type TableId,
  tableFamily,
  tableKind,
} from "./tables.ts";

/** A field of a key, with its offset and size in bytes. */
interface KeyField {
  readonly field: KeyFieldName;
  readonly at: number;
  readonly size: number;
}

/** First and last address of a range. */
export interface AddressRange {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

/** Offset of the first field of each kind in a key; -1 if the key has none. */
type KeyOffsets = { readonly [field in KeyFieldName]: number };

const FIELDS: readonly (readonly KeyField[])[] = TABLE_IDS.map((table) => {
  let at = 0;
  return tableKind(table).key.map((field: KeyFieldName) => {
    const size = fieldSize(field, tableFamily(table));
    at += size;
    return { field, at: at - size, size };
  });
});

const OFFSETS: readonly KeyOffsets[] = FIELDS.map((fields) => {
  const offsetOf = (field: KeyFieldName) => fields.find((one) => one.field === field)?.at ?? -1;
  return {
    address: offsetOf("address"),
    protocol: offsetOf("protocol"),
    port: offsetOf("port"),
    slot: offsetOf("slot"),
    number: offsetOf("number"),
    range: offsetOf("range"),
  };
});

/** Returns the fields of a table's keys, in order. */
export function keyFields(table: TableId): readonly KeyField[] {
  return FIELDS[table] as readonly KeyField[];
}

/** Reports whether the table holds node ports, which have no address in their keys. */
export function isNodePortTable(table: TableId): boolean {
  return offsets(table).protocol === 0;
}

/** Returns the key of a frontend, or of a node port if `address` is undefined. */
export function frontendKeyBytes(
  address: Uint8Array | undefined,
  protocol: number,
  port: number,
): Uint8Array {
  const at = address?.length ?? 0;
  const key = new Uint8Array(at + KEY_BYTES);
  if (address !== undefined) key.set(address);
  key[at + KEY_PROTOCOL] = protocol;
  key[at + KEY_PORT] = port >> 8;
  key[at + KEY_PORT + 1] = port & 0xff;
  return key;
}

/** Returns a view of a key's first address. */
export function readAddress(table: TableId, key: Uint8Array): Uint8Array {
  const at = present(offsets(table).address);
  return key.subarray(at, at + ADDRESS_BYTES[tableFamily(table)]);
}

/** Returns the IP protocol number in a key. */
export function readProtocol(table: TableId, key: Uint8Array): number {
  return readU8(key, present(offsets(table).protocol));
}

export function readPort(table: TableId, key: Uint8Array): number {
  return readU16BE(key, present(offsets(table).port));
}

export function readSlot(table: TableId, key: Uint8Array): number {
  return readU32LE(key, present(offsets(table).slot));
}

/** Returns the number of an endpoint in a key. */
export function readNumber(table: TableId, key: Uint8Array): number {
  return readU32LE(key, present(offsets(table).number));
}

/** Returns the range in a key, as views of its addresses. */
export function readRange(table: TableId, key: Uint8Array): AddressRange {
  const at = present(offsets(table).range);
  const size = ADDRESS_BYTES[tableFamily(table)];
  const middle = at + size;
  return {
    first: key.subarray(at, middle),
    last: key.subarray(middle, middle + size),
  };
}

function offsets(table: TableId): KeyOffsets {
  return OFFSETS[table] as KeyOffsets;
}

/** @throws RangeError if the table's keys lack the field, which is a programming error */
function present(offset: number): number {
  if (offset < 0) throw new RangeError("read key: the table has no such field");
  return offset;
}
