/** Provides a growable byte buffer that collects keys and elements of tables. */
import { keySize, type TableId } from "../../model/tables.ts";

export class ByteBuffer {
  length = 0;
  #bytes: Uint8Array;

  /** `capacity`: initial size in bytes. */
  constructor(capacity = 4096) {
    this.#bytes = new Uint8Array(capacity);
  }

  append(from: Uint8Array, start: number, length: number): void {
    this.#room(length);
    for (let i = 0; i < length; i++) this.#bytes[this.length + i] = from[start + i] as number;
    this.length += length;
  }

  /** Little-endian. */
  appendU64(value: bigint): void {
    this.#room(8);
    new DataView(this.#bytes.buffer).setBigUint64(this.length, value, true);
    this.length += 8;
  }

  /** Little-endian. */
  appendU32(value: number): void {
    this.#room(4);
    new DataView(this.#bytes.buffer).setUint32(this.length, value, true);
    this.length += 4;
  }

  /** The contents without a copy, valid until the next append. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  #room(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + more));
    grown.set(this.#bytes.subarray(0, this.length));
    this.#bytes = grown;
  }
}

/** The buffer of a table. The first call creates it, with room for one key. */
export function tableBuffer(tables: Map<TableId, ByteBuffer>, id: TableId): ByteBuffer {
  let buffer = tables.get(id);
  if (buffer === undefined) {
    buffer = new ByteBuffer(keySize(id));
    tables.set(id, buffer);
  }
  return buffer;
}

/** Converts a key to a string for use in a Set or Map. */
export const keyString = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
