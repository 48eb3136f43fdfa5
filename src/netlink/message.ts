/**
 * Encodes and decodes netlink messages: a writer with one growing, reusable buffer, and readers of
 * attributes. Pure: no socket here.
 */
import {
  NLA_F_NESTED,
  NLA_HDRLEN,
  NLA_LENGTH,
  NLA_TYPE,
  NLA_TYPE_MASK,
  NLMSG_FLAGS,
  NLMSG_HDRLEN,
  NLMSG_LENGTH,
  NLMSG_PORT_ID,
  NLMSG_SEQUENCE,
  NLMSG_TYPE,
} from "./constants.ts";

/**
 * #define NLMSG_ALIGN(len) ( ((len)+NLMSG_ALIGNTO-1) & ~(NLMSG_ALIGNTO-1) ), the same as NLA_ALIGN:
 * 4.
 */
export function alignTo4(length: number): number {
  return (length + 3) & ~3;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** In bytes. */
const INITIAL_CAPACITY = 1 << 16;

/** Writes consecutive messages. Numbers in nf_tables attributes are big-endian. */
export class MessageWriter {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  /** The same bytes as 32-bit words in host order, for fast writers. */
  words: Uint32Array;
  length = 0;

  /** `capacity` in bytes, a multiple of 4. */
  constructor(capacity = INITIAL_CAPACITY) {
    this.bytes = new Uint8Array(new ArrayBuffer(capacity));
    this.view = new DataView(this.bytes.buffer);
    this.words = new Uint32Array(this.bytes.buffer);
  }

  reset(): void {
    this.length = 0;
  }

  /** Like `reset`, and gives back the memory that an exceptionally long message took. */
  release(): void {
    this.reset();
    this.#use(new ArrayBuffer(INITIAL_CAPACITY));
  }

  /** Makes room for `more` bytes. Afterwards `bytes`, `view` and `words` may be new objects. */
  ensure(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    let capacity = this.bytes.length * 2;
    while (capacity < this.length + more) capacity *= 2;
    const written = this.bytes.subarray(0, this.length);
    this.#use(new ArrayBuffer(capacity));
    this.bytes.set(written);
  }

  #use(buffer: ArrayBuffer): void {
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.words = new Uint32Array(buffer);
  }

  /** Starts a message with a zeroed family header of `header` bytes. Returns its offset. */
  begin(type: number, flags: number, sequence: number, header: number): number {
    this.ensure(NLMSG_HDRLEN + header);
    const start = this.length;
    this.view.setUint16(start + NLMSG_TYPE, type, true);
    this.view.setUint16(start + NLMSG_FLAGS, flags, true);
    this.view.setUint32(start + NLMSG_SEQUENCE, sequence, true);
    this.view.setUint32(start + NLMSG_PORT_ID, 0, true);
    this.bytes.fill(0, start + NLMSG_HDRLEN, start + NLMSG_HDRLEN + alignTo4(header));
    this.length = start + NLMSG_HDRLEN + alignTo4(header);
    return start;
  }

  /** Ends the message that started at `start`. */
  end(start: number): void {
    this.view.setUint32(start + NLMSG_LENGTH, this.length - start, true);
  }

  /** Writes an attribute with raw bytes and padding. */
  raw(type: number, value: Uint8Array): void {
    this.ensure(NLA_HDRLEN + value.length + 3);
    const start = this.length;
    this.view.setUint16(start + NLA_LENGTH, NLA_HDRLEN + value.length, true);
    this.view.setUint16(start + NLA_TYPE, type, true);
    this.bytes.set(value, start + NLA_HDRLEN);
    this.length = start + NLA_HDRLEN + value.length;
    while (this.length & 3) this.bytes[this.length++] = 0;
  }

  /** Writes a string with its NUL. */
  text(type: number, value: string): void {
    this.raw(type, encoder.encode(`${value}\0`));
  }

  /** Writes a big-endian u32. */
  u32(type: number, value: number): void {
    const bytes = NLA_HDRLEN + Uint32Array.BYTES_PER_ELEMENT;
    this.ensure(bytes);
    this.view.setUint16(this.length + NLA_LENGTH, bytes, true);
    this.view.setUint16(this.length + NLA_TYPE, type, true);
    this.view.setUint32(this.length + NLA_HDRLEN, value);
    this.length += bytes;
  }

  /** Writes a big-endian u64. */
  u64(type: number, value: bigint): void {
    const bytes = NLA_HDRLEN + BigUint64Array.BYTES_PER_ELEMENT;
    this.ensure(bytes);
    this.view.setUint16(this.length + NLA_LENGTH, bytes, true);
    this.view.setUint16(this.length + NLA_TYPE, type, true);
    this.view.setBigUint64(this.length + NLA_HDRLEN, value);
    this.length += bytes;
  }

  /** Opens an attribute that contains attributes. Pass the result to `close`. */
  open(type: number): number {
    this.ensure(NLA_HDRLEN);
    const start = this.length;
    this.view.setUint16(start + NLA_TYPE, type | NLA_F_NESTED, true);
    this.length = start + NLA_HDRLEN;
    return start;
  }

  close(start: number): void {
    this.view.setUint16(start + NLA_LENGTH, this.length - start, true);
  }
}

/** Iterates over the attributes of a region. `start` and `end` bound the current payload. */
export class AttributeReader {
  type = 0;
  start = 0;
  end = 0;
  readonly bytes: Uint8Array;
  #view: DataView;
  #next: number;
  #limit: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#next = start;
    this.#limit = end;
  }

  /** Moves to another region of the same bytes, so that a dump of elements needs no new objects. */
  rewind(start: number, end: number): this {
    this.#next = start;
    this.#limit = end;
    return this;
  }

  next(): boolean {
    if (this.#next + NLA_HDRLEN > this.#limit) return false;
    const length = this.#view.getUint16(this.#next + NLA_LENGTH, true);
    if (length < NLA_HDRLEN || this.#next + length > this.#limit) return false;
    this.type = this.#view.getUint16(this.#next + NLA_TYPE, true) & NLA_TYPE_MASK;
    this.start = this.#next + NLA_HDRLEN;
    this.end = this.#next + length;
    this.#next += alignTo4(length);
    return true;
  }

  u32(): number {
    return this.#view.getUint32(this.start);
  }

  /** Reads a little-endian u32, as in rtnetlink and extended acks. */
  u32host(): number {
    return this.#view.getUint32(this.start, true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.start);
  }

  text(): string {
    return readText(this.bytes, this.start, this.end);
  }

  /** The payload as a view, not a copy. */
  payload(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }

  /** A reader of the attributes inside the current one. */
  nested(): AttributeReader {
    return new AttributeReader(this.bytes, this.start, this.end);
  }
}

/** Decodes a string from the kernel, without its NUL. */
export function readText(bytes: Uint8Array, start: number, end: number): string {
  const nul = bytes.subarray(start, end).indexOf(0);
  return decoder.decode(bytes.subarray(start, nul < 0 ? end : start + nul));
}
