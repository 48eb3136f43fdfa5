/** Reads elements back: for adoption, counters and affinity. Never on the path of a change. */
import { keySize, type TableId, tableKind, tableLabel, valueSize } from "../../plan/tables.ts";
import type { AttributeReader } from "../netlink/message.ts";
import type { Netlink } from "../netlink/socket.ts";
import * as nft from "./constants.ts";
import { addressBefore } from "./elements.ts";
import type { Attribute } from "./expressions.ts";
import { TABLE } from "./names.ts";
import { dump } from "./read.ts";

/** One element of a dump. The offsets are into `bytes`, which dies with the callback; -1 for what is absent. */
export interface ReadElement {
  bytes: Uint8Array;
  key: number;
  keyLength: number;
  keyEnd: number;
  data: number;
  dataLength: number;
  /** The chain of a verdict. */
  chain: string | undefined;
  flags: number;
  packets: bigint;
}

/** Every element of a set, one by one, in the same object. */
export function readElements(
  socket: Netlink,
  set: string,
  restart: () => void,
  each: (element: ReadElement) => void,
): void {
  const filter: Attribute[] = [
    [nft.NFTA_SET_ELEM_LIST_TABLE, TABLE],
    [nft.NFTA_SET_ELEM_LIST_SET, set],
  ];
  const element: ReadElement = {
    bytes: new Uint8Array(0),
    key: -1,
    keyLength: 0,
    keyEnd: -1,
    data: -1,
    dataLength: 0,
    chain: undefined,
    flags: 0,
    packets: 0n,
  };
  dump(socket, `elements of ${set}`, nft.NFT_MSG_GETSETELEM, filter, restart, (reader) => {
    element.bytes = reader.bytes;
    const inner = reader.nested();
    const deep = reader.nested();
    const deeper = reader.nested();
    while (reader.next()) {
      if (reader.type !== nft.NFTA_SET_ELEM_LIST_ELEMENTS) continue;
      const list = reader.nested();
      while (list.next()) {
        readElement(element, inner.rewind(list.start, list.end), deep, deeper);
        each(element);
      }
    }
  });
}

function readElement(
  element: ReadElement,
  attributes: AttributeReader,
  deep: AttributeReader,
  deeper: AttributeReader,
): void {
  element.keyEnd = -1;
  element.data = -1;
  element.chain = undefined;
  element.flags = 0;
  element.packets = 0n;
  while (attributes.next()) {
    switch (attributes.type) {
      case nft.NFTA_SET_ELEM_KEY:
        deep.rewind(attributes.start, attributes.end).next();
        element.key = deep.start;
        element.keyLength = deep.end - deep.start;
        break;
      case nft.NFTA_SET_ELEM_KEY_END:
        deep.rewind(attributes.start, attributes.end).next();
        element.keyEnd = deep.start;
        break;
      case nft.NFTA_SET_ELEM_DATA:
        deep.rewind(attributes.start, attributes.end).next();
        element.data = deep.start;
        element.dataLength = deep.end - deep.start;
        if (deep.type === nft.NFTA_DATA_VERDICT) element.chain = chainOf(deep);
        break;
      case nft.NFTA_SET_ELEM_FLAGS:
        element.flags = attributes.u32();
        break;
      case nft.NFTA_SET_ELEM_EXPR:
        element.packets = packetsOf(deep.rewind(attributes.start, attributes.end), deeper);
        break;
    }
  }
}

function chainOf(verdict: AttributeReader): string | undefined {
  const attributes = verdict.nested();
  while (attributes.next()) {
    if (attributes.type === nft.NFTA_VERDICT_CHAIN) return attributes.text();
  }
  return undefined;
}

/** NFTA_EXPR_DATA { NFTA_COUNTER_PACKETS } */
function packetsOf(expression: AttributeReader, counter: AttributeReader): bigint {
  while (expression.next()) {
    if (expression.type !== nft.NFTA_EXPR_DATA) continue;
    counter.rewind(expression.start, expression.end);
    while (counter.next()) if (counter.type === nft.NFTA_COUNTER_PACKETS) return counter.u64();
  }
  return 0n;
}

/** Bytes that grow. */
class Bytes {
  length = 0;
  #bytes = new Uint8Array(4096);

  append(from: Uint8Array, start: number, length: number): void {
    if (this.length + length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + length));
      grown.set(this.#bytes.subarray(0, this.length));
      this.#bytes = grown;
    }
    for (let i = 0; i < length; i++) this.#bytes[this.length + i] = from[start + i] as number;
    this.length += length;
  }

  whole(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}

/** All elements of a table of Desired as keys and values, the way `core.adopt` takes them. */
export function readTableElements(
  socket: Netlink,
  id: TableId,
): { readonly keysAndValues: Uint8Array; readonly count: number } {
  const { key } = tableKind(id);
  const range = key.some((field) => field === "range");
  if (range && key.length === 1) return readRanges(socket, id);
  const keyBytes = keySize(id);
  const valueBytes = valueSize(id);
  const addressBytes = id & 1 ? 16 : 4;
  const bytes = new Bytes();
  const restart = () => {
    bytes.length = 0;
  };
  readElements(socket, tableLabel(id), restart, (element) => {
    bytes.append(element.bytes, element.key, element.keyLength);
    if (range) {
      const last = (element.keyEnd < 0 ? element.key : element.keyEnd) + element.keyLength;
      bytes.append(element.bytes, last - addressBytes, addressBytes);
    }
    if (valueBytes > 0) bytes.append(element.bytes, element.data, valueBytes);
  });
  return { keysAndValues: bytes.whole(), count: bytes.length / (keyBytes + valueBytes) };
}

/** Ranges that are whole keys: a first element, and a flagged one behind the last. */
function readRanges(
  socket: Netlink,
  id: TableId,
): { readonly keysAndValues: Uint8Array; readonly count: number } {
  let bounds: { readonly address: Uint8Array; readonly end: boolean }[] = [];
  const restart = () => {
    bounds = [];
  };
  readElements(socket, tableLabel(id), restart, ({ bytes, key, keyLength, flags }) => {
    const end = (flags & nft.NFT_SET_ELEM_INTERVAL_END) !== 0;
    bounds.push({ address: bytes.slice(key, key + keyLength), end });
  });
  // The end of one range may be the start of the next.
  bounds.sort((a, b) => Buffer.compare(a.address, b.address) || Number(b.end) - Number(a.end));
  const bytes = new Bytes();
  bounds.forEach(({ address, end }, index) => {
    if (end) return;
    const behind = bounds[index + 1]?.address;
    const last = behind ? addressBefore(behind) : new Uint8Array(address.length).fill(255);
    bytes.append(address, 0, address.length);
    if (last) bytes.append(last, 0, last.length);
  });
  return { keysAndValues: bytes.whole(), count: bytes.length / keySize(id) };
}
