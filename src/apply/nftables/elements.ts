/**
 * Elements as messages. NEWSETELEM and DELSETELEM carry many elements each; who each belongs to is
 * remembered until the kernel has answered, so that a refusal can be traced to its owner.
 */
import {
  keySize,
  TABLE_IDS,
  type TableId,
  tableKind,
  tableLabel,
  valueSize,
} from "../../plan/tables.ts";
import { NLA_F_NESTED, NLM_F_CREATE } from "../netlink/constants.ts";
import type { Refusal } from "../netlink/errors.ts";
import { align, type MessageWriter } from "../netlink/message.ts";
import type { Batch } from "./batch.ts";
import * as nft from "./constants.ts";
import { TABLE } from "./names.ts";

/** Bytes of one list of elements: an attribute's length has 16 bits. */
const LIST_BYTES_MAX = 60_000;
/** Most bytes that one element takes: IPv6 key of an interval, a comment, and the headers. */
const ELEMENT_BYTES_MAX = 320;

/** How a table's elements look in the region and in the kernel. */
interface Shape {
  readonly label: string;
  /** Bytes of the key as the kernel has it: without the second address of a range. */
  readonly keyBytes: number;
  /** Bytes of an address of the range; 0 if the table has none. */
  readonly rangeBytes: number;
  /** The range is the whole key: the kernel keeps it as two elements, the second one flagged. */
  readonly pair: boolean;
  readonly valueBytes: number;
  readonly commented: boolean;
}

const SHAPES: readonly Shape[] = TABLE_IDS.map((id) => {
  const { key, value } = tableKind(id);
  const range = key.some((field) => field === "range");
  const rangeBytes = range ? (id & 1 ? 16 : 4) : 0;
  return {
    label: tableLabel(id),
    keyBytes: keySize(id) - rangeBytes,
    rangeBytes,
    pair: range && key.length === 1,
    valueBytes: valueSize(id),
    commented: value === "action",
  };
});

/** Whose element it was, and of which table. */
export interface Fault {
  readonly owner: number;
  readonly table: TableId;
}

/** Writes elements into a batch. Elements of one table and kind in a row share messages. */
export class ElementWriter {
  readonly #batch: Batch;
  readonly #writer: MessageWriter;
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

  /** Forgets the owners of the last transaction. */
  begin(): void {
    this.#count = 0;
    this.#messages.length = 0;
    this.#list = -1;
  }

  /**
   * Writes the element whose key and value stand in `region` from `offset` on. `comment` is its userdata.
   */
  write(
    kind: "add" | "delete",
    table: TableId,
    owner: number,
    region: Uint8Array,
    offset: number,
    comment?: Uint8Array,
  ): void {
    const shape = SHAPES[table] as Shape;
    this.#room(kind === "add" ? nft.NFT_MSG_NEWSETELEM : nft.NFT_MSG_DELSETELEM, table, shape);
    if (shape.pair) {
      this.#pair(owner, region, offset, shape.rangeBytes);
      return;
    }
    const element = this.#open(owner);
    const { keyBytes, rangeBytes } = shape;
    this.#data(nft.NFTA_SET_ELEM_KEY, region, offset, keyBytes);
    if (rangeBytes > 0) {
      // The last key of the interval is the first one with the other address at its end.
      const start = this.#data(nft.NFTA_SET_ELEM_KEY_END, region, offset, keyBytes);
      const last = offset + keyBytes;
      this.#copy(region, last, rangeBytes, start + keyBytes - rangeBytes);
    }
    if (kind === "add" && shape.valueBytes > 0) {
      const value = offset + keyBytes + rangeBytes;
      this.#data(nft.NFTA_SET_ELEM_DATA, region, value, shape.valueBytes);
    }
    if (kind === "add" && shape.commented && comment !== undefined) {
      this.#writer.raw(nft.NFTA_SET_ELEM_USERDATA, comment);
    }
    this.#writer.view.setUint16(element, this.#writer.length - element, true);
  }

  /** Ends the message under way. Call before anything else is written to the batch. */
  end(): void {
    if (this.#list < 0) return;
    this.#writer.close(this.#list);
    this.#batch.close(this.#message);
    this.#list = -1;
  }

  /** The element that the kernel refused, if it said which. */
  faultOf(refusal: Refusal): Fault | undefined {
    const message = this.#messages.find(({ sequence }) => sequence === refusal.sequence);
    const start = this.#batch.starts[refusal.sequence - 1];
    if (!message || start === undefined || refusal.offset === undefined) return undefined;
    const { view } = this.#writer;
    const end = message.list + view.getUint16(message.list, true);
    const fault = start + refusal.offset;
    let index = message.first;
    for (let element = message.list + 4; element < end; index++) {
      const next = element + align(view.getUint16(element, true));
      if (fault >= element && fault < next) {
        return { owner: this.#owners[index] as number, table: message.table };
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
    this.#writer.text(nft.NFTA_SET_ELEM_LIST_TABLE, TABLE);
    this.#writer.text(nft.NFTA_SET_ELEM_LIST_SET, label);
    this.#list = this.#writer.open(nft.NFTA_SET_ELEM_LIST_ELEMENTS);
    const sequence = this.#batch.count;
    this.#messages.push({ sequence, first: this.#count, list: this.#list, table });
    this.#writer.ensure(ELEMENT_BYTES_MAX);
  }

  #open(owner: number): number {
    if (this.#count === this.#owners.length) {
      const grown = new Int32Array(this.#owners.length * 2);
      grown.set(this.#owners);
      this.#owners = grown;
    }
    this.#owners[this.#count++] = owner;
    return this.#writer.open(nft.NFTA_LIST_ELEM);
  }

  /** { type { NFTA_DATA_VALUE bytes } }; returns where the bytes start. Lengths are multiples of 4. */
  #data(type: number, region: Uint8Array, offset: number, length: number): number {
    const { view } = this.#writer;
    const at = this.#writer.length;
    view.setUint16(at, length + 8, true);
    view.setUint16(at + 2, type | NLA_F_NESTED, true);
    view.setUint16(at + 4, length + 4, true);
    view.setUint16(at + 6, nft.NFTA_DATA_VALUE, true);
    this.#copy(region, offset, length, at + 8);
    this.#writer.length = at + 8 + length;
    return at + 8;
  }

  /** A loop: for so few bytes it is faster than a view and `set`. */
  #copy(region: Uint8Array, from: number, length: number, to: number): void {
    const { bytes } = this.#writer;
    for (let i = 0; i < length; i++) bytes[to + i] = region[from + i] as number;
  }

  /** The first address, and the one behind the last, which a range up to the end of all does not have. */
  #pair(owner: number, region: Uint8Array, offset: number, length: number): void {
    const first = this.#open(owner);
    this.#data(nft.NFTA_SET_ELEM_KEY, region, offset, length);
    this.#writer.view.setUint16(first, this.#writer.length - first, true);
    const behind = addressBehind(region.subarray(offset + length, offset + 2 * length));
    if (behind === undefined) return;
    const end = this.#open(owner);
    this.#data(nft.NFTA_SET_ELEM_KEY, behind, 0, length);
    this.#writer.u32(nft.NFTA_SET_ELEM_FLAGS, nft.NFT_SET_ELEM_INTERVAL_END);
    this.#writer.view.setUint16(end, this.#writer.length - end, true);
  }
}

/** The next address; undefined behind the very last one. */
export function addressBehind(address: Uint8Array): Uint8Array | undefined {
  return step(address, 0xff, 0, 1);
}

/** The address before; undefined before the very first one. */
export function addressBefore(address: Uint8Array): Uint8Array | undefined {
  return step(address, 0, 0xff, -1);
}

function step(address: Uint8Array, over: number, to: number, by: number): Uint8Array | undefined {
  const stepped = address.slice();
  for (let i = stepped.length - 1; i >= 0; i--) {
    if (stepped[i] !== over) {
      stepped[i] = (stepped[i] as number) + by;
      return stepped;
    }
    stepped[i] = to;
  }
  return undefined;
}

/** Most operations whose elements fit `bytes` for certain. */
export function operationsIn(bytes: number): number {
  return Math.max(1, Math.floor((bytes * 0.95) / ELEMENT_BYTES_MAX));
}
