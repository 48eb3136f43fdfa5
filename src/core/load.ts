/**
 * Instantiates the compiled core and keeps the views of its memory. The rest of src/core gives its
 * exports a shape; nothing outside src/core calls them.
 */
import { SluiceError } from "../base/errors.ts";

/** What asm/index.ts exports from asm/memory/heap.ts; each half of the core adds its own. */
export interface HeapExports {
  readonly memory: WebAssembly.Memory;
  /** 0 if memory cannot grow. */
  allocate(size: number): number;
  /** `size` must be that of `allocate`: blocks carry no header. */
  release(block: number, size: number): void;
  /** Bytes handed out, with what the size classes round up. */
  heapUsed(): number;
  /** Most pages of 64 KiB that memory may grow to. */
  heapLimit(pages: number): void;
}

/** Exports, and views of memory that are made anew when memory has grown. */
export interface Wasm<Exports extends HeapExports> {
  readonly exports: Exports;
  u8(): Uint8Array;
  u32(): Uint32Array;
  view(): DataView;
}

/** @throws SluiceError CORE_ABORT whenever an assertion inside fails, with file and line. */
export function loadWasm<Exports extends HeapExports>(module: WebAssembly.Module): Wasm<Exports> {
  const instance = new WebAssembly.Instance(module, {
    env: {
      abort(message: number, file: number, line: number, column: number): never {
        const where = `${textAt(memory, file)}:${line}:${column}`;
        throw new SluiceError(
          "CORE_ABORT",
          `The core stopped at ${where}: ${textAt(memory, message)}`,
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
 * The error for a core that cannot grow. `doing` is a verb with its object; `bytes` what it has or
 * asked for.
 */
export function outOfMemory(doing: string, bytes: number): SluiceError {
  return new SluiceError(
    "CORE_MEMORY",
    `Cannot ${doing}: the core's memory must be able to grow: current value is ${bytes} bytes`,
  );
}

/** A string constant of AssemblyScript: UTF-16, its length in bytes in the word before it. */
function textAt(memory: WebAssembly.Memory, pointer: number): string {
  if (!pointer) return "";
  const bytes = new DataView(memory.buffer).getUint32(pointer - 4, true);
  return new TextDecoder("utf-16le").decode(new Uint8Array(memory.buffer, pointer, bytes));
}
