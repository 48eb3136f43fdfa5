/** Makes the core of its two halves, from a compiled module. */
import type { Core } from "./core.ts";
import { type DiffExports, diffHalf } from "./diff-calls.ts";
import { type FlowsExports, flowsPart } from "./flow-calls.ts";
import { type IngestExports, ingestHalf } from "./ingest-calls.ts";
import { loadWasm, outOfMemory } from "./load.ts";
import { withText } from "./name-table.ts";
import { type SelectExports, selectHalf } from "./select-calls.ts";

/** What a core is told once, at its start. */
export interface CoreOptions {
  /** Keys the hash tables; random in production, so that nobody can choose names that collide. */
  readonly seed: number;
  /** Decides which endpoints are local. */
  readonly nodeName: string;
  /** Memory may not grow beyond this many bytes; the default is all that Wasm can address. */
  readonly memoryMax?: number;
  /** Is shown the module's exports: for tests, which look at its tables. */
  readonly inspect?: (exports: CoreExports) => void;
}

/** Everything that asm/index.ts exports and this side calls. */
export type CoreExports = IngestExports & SelectExports & DiffExports & FlowsExports;

/**
 * Instantiates `module` (asm/out/core.release.wasm, or core.debug.wasm, which checks more) with its
 * own memory. Every call of it may throw CORE_ABORT, after which the instance is of no use.
 * @throws SluiceError CORE_MEMORY
 */
export function createCore(module: WebAssembly.Module, options: CoreOptions): Core {
  const wasm = loadWasm<CoreExports>(module);
  const { exports } = wasm;
  if (options.memoryMax !== undefined) exports.heapLimit(Math.floor(options.memoryMax / 0x1_0000));
  const started = exports.start(options.seed >>> 0, Math.floor(options.seed / 2 ** 32) >>> 0);
  const named = withText(wasm, options.nodeName, (at, length) => exports.setNodeName(at, length));
  if (!started || !named) throw outOfMemory("start the core", wasm.u8().byteLength);
  options.inspect?.(exports);
  return { ...ingestHalf(wasm), ...selectHalf(wasm), ...diffHalf(wasm), ...flowsPart(wasm) };
}
