/**
 * Provides the core for tests of selection and diff, in both builds. It exports internals of the
 * state, so that a test can put Services and slices into memory without a stream.
 */
import { readFileSync } from "node:fs";
import { SERVICE_HEADER, SERVICE_SIZE } from "../../asm/layout/service.ts";
import { type CoreBuild, compileCore } from "../../build/compile-core.ts";
import { type DiffExports, diffCalls } from "../../src/core/diff-calls.ts";
import { loadWasm, type Wasm } from "../../src/core/load.ts";
import { type SelectExports, selectCalls } from "../../src/core/select-calls.ts";
import type { ServiceId } from "../../src/model/service.ts";

export const BUILDS: readonly CoreBuild[] = ["debug", "release"];

/** Internal functions, exported only for tests. */
const ALSO = `
export { hashSeed } from "./memory/hash";
export { nameHold } from "./memory/names";
export { holdHints, setHintZone } from "./cluster/hint-sets";
export { initServices, ensureService, setServiceBlock, firstSlice } from "./cluster/services";
export { linkSlice, unlinkSlice } from "./cluster/slices";
`;

interface StateExports extends SelectExports, DiffExports {
  hashSeed(low: number, high: number): void;
  nameHold(at: number, length: number): number;
  holdHints(zones: number, count: number, nodes: number): number;
  initServices(): number;
  ensureService(at: number, length: number): number;
  isService(id: number): number;
  serviceBlock(id: number): number;
  setServiceBlock(id: number, block: number): void;
  firstSlice(id: number): number;
  linkSlice(slice: number): void;
  unlinkSlice(slice: number): void;
  setHintZone(at: number, length: number): number;
}

export type TestCore = ReturnType<typeof selectCalls> &
  ReturnType<typeof diffCalls> & {
    readonly wasm: Wasm<StateExports>;
    /**
     * Returns the id of a Service, and creates the Service without ports or slices if necessary.
     */
    service(key: string): ServiceId;
  };

/** Returns a new core. The seed is fixed, so that failures are reproducible. */
export function createTestCore(build: CoreBuild): TestCore {
  const wasm = loadWasm<StateExports>(modules[build]);
  wasm.exports.hashSeed(1, 2);
  wasm.exports.initServices();
  return {
    ...selectCalls(wasm),
    ...diffCalls(wasm),
    wasm,
    service(key) {
      const id = withBytesInCore(wasm, new TextEncoder().encode(key), wasm.exports.ensureService);
      if (!wasm.exports.serviceBlock(id)) {
        const block = wasm.exports.allocate(SERVICE_HEADER) >>> 0;
        wasm.u8().fill(0, block, block + SERVICE_HEADER);
        wasm.view().setUint32(block + SERVICE_SIZE, SERVICE_HEADER, true);
        wasm.exports.setServiceBlock(id, block);
      }
      return id as ServiceId;
    },
  };
}

/** Runs `use` with bytes in the core's memory. */
export function withBytesInCore<Result>(
  wasm: Wasm<StateExports>,
  bytes: Uint8Array,
  use: (at: number, length: number) => Result,
): Result {
  const size = Math.max(bytes.byteLength, 8);
  const at = wasm.exports.allocate(size) >>> 0;
  wasm.u8().set(bytes, at);
  const result = use(at, bytes.byteLength);
  wasm.exports.release(at, size);
  return result;
}

const modules: Readonly<Record<CoreBuild, WebAssembly.Module>> = {
  debug: new WebAssembly.Module(readFileSync(await compileCore("debug", ALSO))),
  release: new WebAssembly.Module(readFileSync(await compileCore("release", ALSO))),
};
