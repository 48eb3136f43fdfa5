/**
 * The core for tests of selection and diff: both builds, with the internals of the state exported, so that
 * Services and slices can be put into memory without a stream. Compiled once for each content of asm/.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { main } from "assemblyscript/asc";
import { SERVICE_HEADER } from "../../asm/layout.ts";
import { type DiffExports, diffHalf } from "../../src/core/diff.ts";
import { loadWasm, type Wasm } from "../../src/core/load.ts";
import { type SelectExports, selectHalf } from "../../src/core/select.ts";
import type { ServiceId } from "../../src/types.ts";

export const BUILDS = ["debug", "release"] as const;
export type Build = (typeof BUILDS)[number];

const ENTRY = `
export * from "./index";
export { hashSeed } from "./hash";
export { nameHold } from "./names";
export { holdHints, setHintZone } from "./hints";
export { initServices, ensureService, settleService, setServiceBlock, firstSlice } from "./services";
export { linkSlice, unlinkSlice } from "./slices";
`;
const COMMON = ["--runtime", "stub", "--initialMemory", "2", "--maximumMemory", "65536"];
const FLAGS: Readonly<Record<Build, readonly string[]>> = {
  debug: ["--debug", "--uncheckedBehavior", "never"],
  release: ["-O3", "--converge"],
};

interface StateExports extends SelectExports, DiffExports {
  hashSeed(low: number, high: number): void;
  nameHold(at: number, length: number): number;
  holdHints(zones: number, count: number, nodes: number): number;
  initServices(): number;
  ensureService(at: number, length: number): number;
  settleService(id: number): void;
  isService(id: number): number;
  serviceBlock(id: number): number;
  setServiceBlock(id: number, block: number): void;
  firstSlice(id: number): number;
  linkSlice(slice: number): void;
  unlinkSlice(slice: number): void;
  setHintZone(at: number, length: number): number;
}

export type TestCore = ReturnType<typeof selectHalf> &
  ReturnType<typeof diffHalf> & {
    readonly wasm: Wasm<StateExports>;
    /** The id of a Service without ports or slices, unless it has some already. */
    service(key: string): ServiceId;
  };

/** A fresh core. The seed is fixed, so that a failure can be seen again. */
export function createTestCore(build: Build): TestCore {
  const wasm = loadWasm<StateExports>(modules[build]);
  wasm.exports.hashSeed(1, 2);
  wasm.exports.initServices();
  return {
    ...selectHalf(wasm),
    ...diffHalf(wasm),
    wasm,
    service(key) {
      const id = withBytes(wasm, new TextEncoder().encode(key), wasm.exports.ensureService);
      if (!wasm.exports.serviceBlock(id)) {
        const block = wasm.exports.allocate(SERVICE_HEADER) >>> 0;
        wasm.u8().fill(0, block, block + SERVICE_HEADER);
        wasm.u32()[block >>> 2] = SERVICE_HEADER;
        wasm.exports.setServiceBlock(id, block);
      }
      return id as ServiceId;
    },
  };
}

/** Runs `use` with bytes in the core's memory. */
export function withBytes<Result>(
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

const modules: Readonly<Record<Build, WebAssembly.Module>> = {
  debug: await compile("debug"),
  release: await compile("release"),
};

async function compile(build: Build): Promise<WebAssembly.Module> {
  const folder = join(import.meta.dir, "../../asm");
  const sources = new Map([["test.ts", ENTRY]]);
  for (const file of readdirSync(folder).sort())
    if (file.endsWith(".ts") && file !== "compile.ts")
      sources.set(file, readFileSync(join(folder, file), "utf8"));
  const flags = [...COMMON, ...FLAGS[build]];
  const hash = createHash("sha256")
    .update(JSON.stringify([flags, [...sources]]))
    .digest("hex");
  const target = join(folder, "out", `test.${build}.wasm`);
  const stamp = join(folder, "out", `test.${build}.sha256`);
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== hash) {
    mkdirSync(join(folder, "out"), { recursive: true });
    let binary: Uint8Array | undefined;
    const { error, stderr } = await main(["test.ts", ...flags, "--outFile", "test.wasm"], {
      readFile: (name) => sources.get(name) ?? null,
      writeFile: (_name, contents) => {
        if (typeof contents !== "string") binary = contents;
      },
      listFiles: () => [],
    });
    if (error || !binary) throw new Error(stderr.toString(), { cause: error });
    writeFileSync(`${target}.${process.pid}`, binary);
    renameSync(`${target}.${process.pid}`, target);
    writeFileSync(stamp, hash);
  }
  return new WebAssembly.Module(readFileSync(target));
}
