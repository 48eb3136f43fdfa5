/** Reads the tables of the desired state from the kernel, in the layout that the core uses. */
import {
  hasRanges,
  keySize,
  type TableId,
  tableFamily,
  tableKind,
  tableLabel,
  valueSize,
} from "../../model/tables.ts";
import { ADDRESS_BYTES } from "../../net/address.ts";
import type { Netlink } from "../../netlink/socket.ts";
import * as nft from "../wire/nf-tables.ts";
import { addressBefore } from "../wire/ranges.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import { type ReadElement, readElements, readElementsAt, readPresentAt } from "./read-elements.ts";

/** Concatenated keys and values, in the layout that `core.adopt` expects. */
export interface TableElements {
  readonly keysAndValues: Uint8Array;
  readonly count: number;
  /** The table also contains a catchall element, which another program added. */
  readonly catchall?: boolean;
}

/** Reports whether the table holds slots. */
export function isSlots(id: TableId): boolean {
  return tableKind(id).key.some((field) => field === "slot");
}

/** Reads all elements of a table. */
export function readTableElements(socket: Netlink, id: TableId): TableElements {
  const range = hasRanges(id);
  if (range && tableKind(id).key.length === 1) return readRanges(socket, id);
  const bytes = new ByteBuffer();
  const restart = () => {
    bytes.length = 0;
  };
  const each = (element: ReadElement) => append(bytes, id, range, element);
  const catchall = readElements(socket, tableLabel(id), restart, each);
  return { ...elementsIn(bytes, id), catchall };
}

function elementsIn(bytes: ByteBuffer, id: TableId): TableElements {
  const count = bytes.length / (keySize(id) + valueSize(id));
  return { keysAndValues: bytes.view(), count };
}

/**
 * Reads the elements with these keys and skips those that do not exist. The keys must not be
 * ranges.
 */
export function readTableElementsOf(socket: Netlink, id: TableId, keys: Uint8Array): TableElements {
  const bytes = new ByteBuffer();
  readPresentAt(socket, tableLabel(id), keys, keySize(id), (element) =>
    append(bytes, id, false, element),
  );
  return elementsIn(bytes, id);
}

/**
 * Reads the elements with these keys. Returns undefined if one of them does not exist. The keys
 * must not be ranges.
 */
export function readTableElementsAt(
  socket: Netlink,
  id: TableId,
  keys: Uint8Array,
): TableElements | undefined {
  const bytes = new ByteBuffer();
  const all = readElementsAt(socket, tableLabel(id), keys, keySize(id), (element) =>
    append(bytes, id, false, element),
  );
  return all ? elementsIn(bytes, id) : undefined;
}

function append(bytes: ByteBuffer, id: TableId, range: boolean, element: ReadElement): void {
  bytes.append(element.bytes, element.key, element.keyLength);
  if (range) {
    const address = ADDRESS_BYTES[tableFamily(id)];
    const end = (element.keyEnd < 0 ? element.key : element.keyEnd) + element.keyLength;
    bytes.append(element.bytes, end - address, address);
  }
  if (valueSize(id) > 0) bytes.append(element.bytes, element.data, valueSize(id));
}

/** Reads ranges that are whole keys: an element for the start, and a flagged one after the end. */
function readRanges(socket: Netlink, id: TableId): TableElements {
  let bounds: { readonly address: Uint8Array; readonly end: boolean }[] = [];
  const restart = () => {
    bounds = [];
  };
  const each = ({ bytes, key, keyLength, flags }: ReadElement) => {
    const end = (flags & nft.NFT_SET_ELEM_INTERVAL_END) !== 0;
    bounds.push({ address: bytes.slice(key, key + keyLength), end });
  };
  const catchall = readElements(socket, tableLabel(id), restart, each);
  // One range may end where the next begins, so that both bounds have the same address.
  bounds.sort((a, b) => Buffer.compare(a.address, b.address) || Number(b.end) - Number(a.end));
  const bytes = new ByteBuffer();
  bounds.forEach(({ address, end }, index) => {
    if (end) return;
    const behind = bounds[index + 1]?.address;
    const last = behind ? addressBefore(behind) : new Uint8Array(address.length).fill(255);
    bytes.append(address, 0, address.length);
    if (last) bytes.append(last, 0, last.length);
  });
  return { ...elementsIn(bytes, id), catchall };
}
