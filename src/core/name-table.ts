/** Reads and passes text through the core's memory (layout of names: asm/layout/name.ts). */
import { NAME_LENGTH, NAME_TEXT } from "../../asm/layout/name.ts";
import type { HeapExports, Wasm } from "./load.ts";

/** Up to this length a loop is faster than TextDecoder. */
const SHORT = 40;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Decodes a region of UTF-8. */
export function decodeText(memory: Uint8Array, at: number, length: number): string {
  if (length > SHORT) return decoder.decode(memory.subarray(at, at + length));
  let text = "";
  for (let i = at; i < at + length; i++) {
    const byte = memory[i] as number;
    if (byte > 0x7f) return decoder.decode(memory.subarray(at, at + length));
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Reads the text of a name id directly from memory. */
export function nameById(
  memory: Uint8Array,
  words: Uint32Array,
  directory: number,
  id: number,
): string {
  const block = words[(directory >>> 2) + id] as number;
  return decodeText(memory, block + NAME_TEXT, words[(block + NAME_LENGTH) >>> 2] as number);
}

/** Copies the text into the core's memory and calls `use`. Undefined if memory cannot grow. */
export function withText<Result>(
  wasm: Wasm<HeapExports>,
  text: string,
  use: (at: number, length: number) => Result,
): Result | undefined {
  const bytes = encoder.encode(text);
  const at = wasm.exports.allocate(bytes.length) >>> 0;
  if (at === 0) return undefined;
  wasm.u8().set(bytes, at);
  const result = use(at, bytes.length);
  wasm.exports.release(at, bytes.length);
  return result;
}
