/** Writes the protobuf wire format into one buffer, which is reused for every message. */

import { WIRE_BITS, WIRE_BYTES, WIRE_VARINT } from "../../asm/layout/fields.ts";

const encoder = new TextEncoder();

export class ProtobufWriter {
  #bytes = new Uint8Array(4096);
  #length = 0;

  /** Clears the buffer. */
  start(): void {
    this.#length = 0;
  }

  /** Returns a copy of the bytes written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Writes a string field, even if it is empty. */
  text(field: number, value: string): void {
    this.message(field, () => this.raw(encoder.encode(value)));
  }

  /** Writes an int32, int64 or bool field, even if it is 0. A negative number takes ten bytes. */
  integer(field: number, value: number): void {
    this.#varint((field << WIRE_BITS) | WIRE_VARINT);
    this.#varint(value);
  }

  /** Writes a message field; `write` writes its content. */
  message(field: number, write: () => void): void {
    this.#varint((field << WIRE_BITS) | WIRE_BYTES);
    this.#sized(write, varintSize, (length) => this.#varint(length));
  }

  /** Writes a frame of a watch: a u32be length, then the content that `write` writes. */
  frame(write: () => void): void {
    this.#sized(
      write,
      () => 4,
      (length) => {
        new DataView(this.#bytes.buffer).setUint32(this.#length, length);
        this.#length += 4;
      },
    );
  }

  /** Writes the content first, then moves it to make room for the length. */
  #sized(
    write: () => void,
    sizeOf: (length: number) => number,
    prefix: (length: number) => void,
  ): void {
    const start = this.#length;
    write();
    const length = this.#length - start;
    const size = sizeOf(length);
    this.#reserve(size);
    this.#bytes.copyWithin(start + size, start, this.#length);
    this.#length = start;
    prefix(length);
    this.#length = start + size + length;
  }

  #varint(value: number): void {
    this.#reserve(10);
    if (value < 0) {
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest > 0x7fn; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80;
      this.#bytes[this.#length++] = Number(rest);
      return;
    }
    let rest = value;
    for (; rest > 0x7f; rest = Math.floor(rest / 128))
      this.#bytes[this.#length++] = (rest % 128) | 0x80;
    this.#bytes[this.#length++] = rest;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) size++;
  return size;
}
