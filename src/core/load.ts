/**
 * Instantiates the compiled core and keeps views of its memory. The rest of src/core wraps its
 * exports in types; nothing outside src/core calls them.
 */
import { SluiceError } from "../base/errors.ts";

/** Exports of asm/memory/heap.ts; each part of the core adds its own. */
export interface HeapExports {
  readonly memory: WebAssembly.Memory;
  /** Returns 0 if memory cannot grow. */
  allocate(size: number): number;
  /** `size` must equal the size passed to `allocate`, because blocks have no header. */
  release(block: number, size: number): void;
  /** Bytes in use, including the rounding up to size classes. */
  heapUsed(): number;
  /** Sets the maximum size of memory, in pages of 64 KiB. */
  heapLimit(pages: number): void;
}

/** The exports, and views of memory that are recreated after memory has grown. */
export interface Wasm<Exports extends HeapExports> {
  readonly exports: Exports;
  u8(): Uint8Array;
  u32(): Uint32Array;
  view(): DataView;
}

/** @throws SluiceError CORE_ABORT, with file and line, whenever an assertion in the core fails. */
export function loadWasm<Exports extends HeapExports>(module: WebAssembly.Module): Wasm<Exports> {
  const instance = new WebAssembly.Instance(module, {
    env: {
      abort(message: number, file: number, line: number, column: number): never {
        const where = `${abortText(memory, file)}:${line}:${column}`;
        throw new SluiceError(
          "CORE_ABORT",
          `core aborted at ${where}: ${abortText(memory, message)}`,
        );
      },
    },
  });
  const exports = instance.exports as unknown as Exports;
  const memory = exports.memory;
  let buffer: ArrayBufferLike | undefined;
  let u8 = new Uint8Array();
  let u32 = new Uint32Array();
  let view = new DataView(new ArrayBuffer(0));
  const refresh = (): void => {
    if (memory.buffer === buffer) return;
    buffer = memory.buffer;
    u8 = new Uint8Array(buffer);
    u32 = new Uint32Array(buffer);
    view = new DataView(buffer);
  };
  return {
    exports,
    u8() {
      refresh();
      return u8;
    },
    u32() {
      refresh();
      return u32;
    },
    view() {
      refresh();
      return view;
    },
  };
}

/**
 * Creates the error for a failed growth of the core's memory. `doing` names operation and object;
 * `bytes` is the current or the requested size.
 */
export function outOfMemory(doing: string, bytes: number): SluiceError {
  return new SluiceError("CORE_MEMORY", `${doing}: out of core memory at ${bytes} bytes`);
}

/** Distance from the start of an AssemblyScript object back to its size in bytes, a u32. */
const SIZE_BEFORE = 4;

/** Reads an AssemblyScript string constant, which is UTF-16. */
function abortText(memory: WebAssembly.Memory, pointer: number): string {
  if (!pointer) return "";
  const bytes = new DataView(memory.buffer).getUint32(pointer - SIZE_BEFORE, true);
  return new TextDecoder("utf-16le").decode(new Uint8Array(memory.buffer, pointer, bytes));
}
