/** Creates a core from a compiled module by joining its four parts. */
import type { Core } from "./core.ts";
import { type DiffExports, diffCalls } from "./diff-calls.ts";
import { type FlowsExports, flowCalls } from "./flow-calls.ts";
import { type IngestExports, ingestCalls } from "./ingest-calls.ts";
import { loadWasm, outOfMemory } from "./load.ts";
import { withText } from "./name-table.ts";
import { type SelectExports, selectCalls } from "./select-calls.ts";

/** Settings that a core receives once, at start. */
export interface CoreOptions {
  /**
   * Seed of the hash tables. Random in production, so that no one can choose names that collide.
   */
  readonly seed: number;
  /** Determines which endpoints are local. */
  readonly nodeName: string;
  /** Limit of linear memory in bytes. Default: all that Wasm can address. */
  readonly memoryMax?: number;
  /** Receives the module's exports, for tests that inspect its tables. */
  readonly inspect?: (exports: CoreExports) => void;
}

/** All exports of asm/index.ts that the host calls. */
export type CoreExports = IngestExports & SelectExports & DiffExports & FlowsExports;

/**
 * Instantiates `module` with its own memory: asm/out/core.release.wasm, or core.debug.wasm, which
 * has more checks. Every call into the core may throw CORE_ABORT; the instance is then unusable.
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
  return { ...ingestCalls(wasm), ...selectCalls(wasm), ...diffCalls(wasm), ...flowCalls(wasm) };
}
