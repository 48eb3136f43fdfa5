/**
 * Writes elements as NEWSETELEM and DELSETELEM messages, which carry many elements each. It records
 * the owner of every element until the kernel has answered, to trace a refusal to its owner.
 */
import type { OwnerId } from "../../model/owner.ts";
import {
  hasRanges,
  keySize,
  TABLE_IDS,
  type TableId,
  tableFamily,
  tableKind,
  tableLabel,
  valueSize,
} from "../../model/tables.ts";
import { ADDRESS_BYTES } from "../../net/address.ts";
import { NLA_F_NESTED, NLA_HDRLEN, NLA_LENGTH, NLM_F_CREATE } from "../../netlink/constants.ts";
import { alignTo4, type MessageWriter } from "../../netlink/message.ts";
import type { Refusal } from "../../netlink/netlink-errors.ts";
import type { Batch } from "./message-batch.ts";
import * as nft from "./nf-tables.ts";
import { addressAfter } from "./ranges.ts";
import { COMMENT_MAX } from "./userdata.ts";

/** Bytes of one list of elements, because the length of an attribute has 16 bits. */
const LIST_BYTES_MAX = 60_000;
/** Largest size of an element: the IPv6 key of an interval, a comment, and the headers. */
const ELEMENT_BYTES_MAX = 320;

/** Layout of a table's elements in the region and in the kernel. */
interface Shape {
  readonly label: string;
  /** Bytes of the key in the kernel, without the second address of a range. */
  readonly keyBytes: number;
  /** Bytes of an address in the range; 0 if the table has no ranges. */
  readonly rangeBytes: number;
  /** The range is the whole key: the kernel stores it as two elements and flags the second one. */
  readonly pair: boolean;
  readonly valueBytes: number;
  /** Elements have a comment. */
  readonly commented: boolean;
}

const SHAPES: readonly Shape[] = TABLE_IDS.map((id) => {
  const { key } = tableKind(id);
  const range = hasRanges(id);
  const rangeBytes = range ? ADDRESS_BYTES[tableFamily(id)] : 0;
  return {
    label: tableLabel(id),
    keyBytes: keySize(id) - rangeBytes,
    rangeBytes,
    pair: range && key.length === 1,
    valueBytes: valueSize(id),
    commented: tableKind(id).value === "action",
  };
});

/** An attribute's header as a word: u16 length, u16 type. */
const header = (type: number, length: number): number => ((type << 16) | length) >>> 0;
const nested = (type: number, length: number): number => header(type | NLA_F_NESTED, length);

/** Owner and table of a refused element. */
export interface RefusedElement {
  readonly owner: OwnerId;
  readonly table: TableId;
  /** The key in the kernel, without the second address of a range. */
  readonly key: Uint8Array;
}

/** Offset of the key in an element. It comes first: { LIST_ELEM { KEY { DATA_VALUE bytes } } }. */
const KEY_AT = 3 * NLA_HDRLEN;
/** Offset of a comment's text, after the attribute's header and { u8 type, u8 length }. */
const COMMENT_AT = NLA_HDRLEN + 2;
const encoder = new TextEncoder();

/**
 * Writes elements into a batch. Consecutive elements with the same table and kind share messages.
 */
export class ElementWriter {
  readonly #batch: Batch;
  readonly #writer: MessageWriter;
  #region: Uint8Array = new Uint8Array(0);
  #source: Uint32Array = new Uint32Array(0);
  /** A userdata attribute, ready for copying; `#commentLength` is its length in words. */
  readonly #comment = new Uint8Array(new ArrayBuffer(alignTo4(COMMENT_AT + COMMENT_MAX + 1)));
  readonly #commentWords = new Uint32Array(this.#comment.buffer);
  #commentLength = 0;
  #owners = new Int32Array(1024);
  #count = 0;
  /** Sequence number of each message of elements, and the index of its first element. */
  readonly #messages: {
    readonly sequence: number;
    readonly first: number;
    readonly list: number;
    readonly table: TableId;
  }[] = [];
  #table = -1;
  #type = -1;
  #message = 0;
  #list = -1;

  constructor(batch: Batch) {
    this.#batch = batch;
    this.#writer = batch.writer;
  }

  /**
   * Starts over with elements from `region`, and drops the owners of the last transaction. Keys and
   * values are copied by words; the core aligns its records accordingly.
   */
  begin(region: Uint8Array): void {
    this.#count = 0;
    this.#messages.length = 0;
    this.#list = -1;
    const aligned = region.byteOffset % 4 === 0 ? region : region.slice();
    this.#region = aligned;
    this.#source = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 2);
  }

  /** Sets the comment of all elements added from now on, cut at 127 bytes. Empty: no comment. */
  set comment(text: string) {
    const { written } = encoder.encodeInto(
      text,
      this.#comment.subarray(COMMENT_AT, COMMENT_AT + COMMENT_MAX),
    );
    const end = COMMENT_AT + written + 1;
    this.#comment.fill(0, end - 1);
    this.#comment[NLA_HDRLEN] = nft.NFTNL_UDATA_SET_ELEM_COMMENT;
    this.#comment[NLA_HDRLEN + 1] = written + 1;
    this.#commentWords[0] = header(nft.NFTA_SET_ELEM_USERDATA, end);
    this.#commentLength = text === "" ? 0 : alignTo4(end) >> 2;
  }

  /** Writes the element with its key and value at `offset` in the region. */
  write(kind: "add" | "delete", table: TableId, owner: OwnerId, offset: number): void {
    const add = kind === "add";
    const shape = SHAPES[table] as Shape;
    this.#room(add ? nft.NFT_MSG_NEWSETELEM : nft.NFT_MSG_DELSETELEM, table, shape);
    const { keyBytes, rangeBytes, valueBytes } = shape;
    if (shape.pair) {
      this.#pair(owner, offset, rangeBytes);
      return;
    }
    const element = this.#open(owner);
    this.#data(nft.NFTA_SET_ELEM_KEY, this.#source, offset >> 2, keyBytes);
    if (rangeBytes > 0) {
      // The end of the interval is the key with the other address in its last part.
      this.#data(nft.NFTA_SET_ELEM_KEY_END, this.#source, offset >> 2, keyBytes);
      const end = this.#writer.length - rangeBytes;
      const last = offset + keyBytes;
      this.#writer.bytes.set(this.#region.subarray(last, last + rangeBytes), end);
    }
    if (add && valueBytes > 0) {
      this.#data(nft.NFTA_SET_ELEM_DATA, this.#source, (offset + keyBytes) >> 2, valueBytes);
      if (shape.commented) this.#appendComment();
    }
    this.#close(element);
  }

  /** Ends the current message. Call it before writing anything else to the batch. */
  end(): void {
    if (this.#list < 0) return;
    this.#writer.close(this.#list);
    this.#batch.close(this.#message);
    this.#list = -1;
  }

  /** The element that the kernel refused, if it named one. */
  refusedElement(refusal: Refusal): RefusedElement | undefined {
    const message = this.#messages.find(({ sequence }) => sequence === refusal.sequence);
    const start = this.#batch.starts[refusal.sequence - 1];
    if (!message || start === undefined || refusal.offset === undefined) return undefined;
    const { view } = this.#writer;
    const end = message.list + view.getUint16(message.list + NLA_LENGTH, true);
    const fault = start + refusal.offset;
    let index = message.first;
    for (let element = message.list + NLA_HDRLEN; element < end; index++) {
      const next = element + alignTo4(view.getUint16(element + NLA_LENGTH, true));
      if (fault >= element && fault < next) {
        const { table } = message;
        const { keyBytes, rangeBytes, pair } = SHAPES[table] as Shape;
        const key = element + KEY_AT;
        return {
          table,
          owner: this.#owners[index] as OwnerId,
          key: this.#writer.bytes.slice(key, key + (pair ? rangeBytes : keyBytes)),
        };
      }
      element = next;
    }
    return undefined;
  }

  #room(type: number, table: TableId, { label }: Shape): void {
    this.#writer.ensure(ELEMENT_BYTES_MAX);
    if (this.#list >= 0) {
      const same = this.#table === table && this.#type === type;
      if (same && this.#writer.length - this.#list < LIST_BYTES_MAX) return;
      this.end();
    }
    this.#table = table;
    this.#type = type;
    this.#message = this.#batch.open(type, type === nft.NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
    this.#writer.text(nft.NFTA_SET_ELEM_LIST_TABLE, this.#batch.table);
    this.#writer.text(nft.NFTA_SET_ELEM_LIST_SET, label);
    this.#list = this.#writer.open(nft.NFTA_SET_ELEM_LIST_ELEMENTS);
    const sequence = this.#batch.count;
    this.#messages.push({ sequence, first: this.#count, list: this.#list, table });
    this.#writer.ensure(ELEMENT_BYTES_MAX);
  }

  #open(owner: OwnerId): number {
    if (this.#count === this.#owners.length) {
      const grown = new Int32Array(this.#owners.length * 2);
      grown.set(this.#owners);
      this.#owners = grown;
    }
    this.#owners[this.#count++] = owner;
    const element = this.#writer.length;
    this.#writer.length = element + NLA_HDRLEN;
    return element;
  }

  #close(element: number): void {
    const writer = this.#writer;
    writer.words[element >> 2] = nested(nft.NFTA_LIST_ELEM, writer.length - element);
  }

  /** { type { NFTA_DATA_VALUE bytes } } with words from `source`. Lengths are multiples of 4. */
  #data(type: number, source: Uint32Array, from: number, bytes: number): void {
    const writer = this.#writer;
    const { words } = writer;
    const at = writer.length >> 2;
    words[at] = nested(type, bytes + 2 * NLA_HDRLEN);
    words[at + 1] = header(nft.NFTA_DATA_VALUE, bytes + NLA_HDRLEN);
    const count = bytes >> 2;
    for (let i = 0; i < count; i++) words[at + 2 + i] = source[from + i] as number;
    writer.length += bytes + 2 * NLA_HDRLEN;
  }

  #appendComment(): void {
    const writer = this.#writer;
    const at = writer.length >> 2;
    for (let i = 0; i < this.#commentLength; i++) {
      writer.words[at + i] = this.#commentWords[i] as number;
    }
    writer.length += this.#commentLength << 2;
  }

  /**
   * Writes the first address and the one after the last. A range that ends at the highest address
   * has no second element.
   */
  #pair(owner: OwnerId, offset: number, bytes: number): void {
    const first = this.#open(owner);
    this.#data(nft.NFTA_SET_ELEM_KEY, this.#source, offset >> 2, bytes);
    this.#close(first);
    const behind = addressAfter(this.#region.subarray(offset + bytes, offset + 2 * bytes));
    if (behind === undefined) return;
    const end = this.#open(owner);
    this.#data(nft.NFTA_SET_ELEM_KEY, new Uint32Array(behind.buffer), 0, bytes);
    this.#writer.u32(nft.NFTA_SET_ELEM_FLAGS, nft.NFT_SET_ELEM_INTERVAL_END);
    this.#close(end);
  }
}

/** The number of operations that always fit into `bytes`. */
export function operationsIn(bytes: number): number {
  return Math.max(1, Math.floor((bytes * 0.95) / ELEMENT_BYTES_MAX));
}
