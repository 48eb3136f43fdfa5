/** Compiles the core: asm/ → asm/out/core.{debug,release}.wasm. build.ts and the tests use it. */
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
import { main, version } from "assemblyscript/asc";

export type CoreBuild = "debug" | "release";

const ENTRY = "index.ts";
const COMMON = [
  "--runtime",
  "stub",
  "--initialMemory",
  "2",
  "--maximumMemory",
  "65536",
  "--noColors",
];
const FLAGS: Readonly<Record<CoreBuild, readonly string[]>> = {
  // `never` makes even unchecked() a checked access.
  debug: ["--debug", "--uncheckedBehavior", "never"],
  release: ["-O3", "--converge"],
};

/**
 * Compiles if a source, a flag or the compiler changed since the last time.
 * @param also lines of AssemblyScript added to the boundary: exports that only tests need
 * @returns the path of the module
 * @throws Error with the compiler's diagnostics
 */
export async function compileCore(build: CoreBuild, also = ""): Promise<string> {
  const folder = join(import.meta.dirname, "../asm");
  const out = join(folder, "out");
  const name = also === "" ? `core.${build}` : `test-${sha256(also).slice(0, 8)}.${build}`;
  const target = join(out, `${name}.wasm`);
  const stamp = join(out, `${name}.sha256`);
  const sources = new Map<string, string>();
  for (const file of readdirSync(folder, { encoding: "utf8", recursive: true }).sort()) {
    if (file.endsWith(".ts")) sources.set(file, readFileSync(join(folder, file), "utf8"));
  }
  const flags = [...COMMON, ...FLAGS[build]];
  sources.set(ENTRY, (sources.get(ENTRY) ?? "") + also);
  const hash = sha256(JSON.stringify([version, flags, [...sources]]));
  if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash)
    return target;

  let binary: Uint8Array | undefined;
  const { error, stderr } = await main([ENTRY, ...flags, "--outFile", "core.wasm"], {
    readFile: (name) => sources.get(name) ?? null,
    writeFile: (_name, contents) => {
      if (typeof contents !== "string") binary = contents;
    },
    listFiles: () => [],
  });
  if (error || !binary)
    throw new Error(`compile the core (${build}):\n${stderr.toString()}`, { cause: error });
  mkdirSync(out, { recursive: true });
  // Renamed into place, so that a concurrent test process never reads an incomplete module.
  const half = `${target}.${process.pid}`;
  writeFileSync(half, binary);
  renameSync(half, target);
  writeFileSync(stamp, hash);
  return target;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

if (import.meta.main)
  for (const build of ["debug", "release"] as const) console.log(await compileCore(build));
