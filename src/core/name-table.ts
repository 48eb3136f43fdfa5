/** Names in the core's memory (asm/layout/name.ts). */
import { NAME_LENGTH, NAME_TEXT } from "../../asm/layout/name.ts";
import type { HeapExports, Wasm } from "./load.ts";

/** Up to here a loop beats the decoder. */
const SHORT = 40;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Text of a region of UTF-8. */
export function textOf(memory: Uint8Array, at: number, length: number): string {
  if (length > SHORT) return decoder.decode(memory.subarray(at, at + length));
  let text = "";
  for (let i = at; i < at + length; i++) {
    const byte = memory[i] as number;
    if (byte > 0x7f) return decoder.decode(memory.subarray(at, at + length));
    text += String.fromCharCode(byte);
  }
  return text;
}

/** The text of a name id, straight from memory. */
export function nameOf(
  memory: Uint8Array,
  words: Uint32Array,
  directory: number,
  id: number,
): string {
  const block = words[(directory >>> 2) + id] as number;
  return textOf(memory, block + NAME_TEXT, words[(block + NAME_LENGTH) >>> 2] as number);
}

/** Calls `use` with the text in the core's memory; undefined if there is no room for it. */
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
