/** Builds the Wasm core (asm/out) and the binary (dist/sluice); USAGE says more. */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { parseArgs } from "node:util";
import { compileCore } from "./build/compile-core.ts";
import { ignoreVariables } from "./build/ignored-variables.ts";
import { bunFor, TARGETS, type Target } from "./build/targets.ts";
import manifest from "./package.json" with { type: "json" };

const USAGE = `usage: npm run build -- [--check] [--core] [--if-stale] [--target NAME]... [--help]

  --check         type check first
  --core          the Wasm core only
  --if-stale      build only if a source is newer than dist/sluice
  --target NAME   build dist/sluice-NAME for another machine: linux-x64, linux-arm64,
                  linux-x64-baseline (no AVX2), linux-x64-musl, linux-arm64-musl,
                  linux-x64-musl-baseline, or all. Without it: dist/sluice for this machine.
  --help          print this

If the Bun of a target is not available, the exit status is 1. Other targets are still built.`;

const root = import.meta.dir;
const NATIVE = join(root, "dist/sluice");
const SOURCES = ["asm", "build", "build.ts", "package-lock.json", "package.json", "src"];

/** `0.1.0` at the tag v0.1.0 and without git; `0.1.0+3.g1a2b3c4` three commits after it. */
export function version(): string {
  const git = Bun.spawnSync(["git", "describe", "--tags", "--always", "--dirty", "--match", "v*"], {
    cwd: root,
    stderr: "ignore",
  });
  const described = git.success ? git.stdout.toString().trim().replace(/^v/, "") : "";
  if (described === "") return manifest.version;
  const tagged = /^(\d+\.\d+\.\d+[^-]*)(?:-(.+))?$/.exec(described);
  if (tagged === null) return `${manifest.version}+${described.replaceAll("-", ".")}`;
  const [, release = manifest.version, behind] = tagged;
  return behind === undefined ? release : `${release}+${behind.replaceAll("-", ".")}`;
}

/** Compiles src/main.ts and everything it needs into one executable. */
export async function buildBinary(options: {
  readonly entry?: string;
  readonly outfile: string;
  readonly target?: Target;
}): Promise<void> {
  const { target, outfile } = options;
  mkdirSync(dirname(outfile), { recursive: true });
  const result = await Bun.build({
    entrypoints: [options.entry ?? join(root, "src/main.ts")],
    target: "bun",
    // Half the time to the first own line. It forbids top-level await.
    bytecode: true,
    format: "cjs",
    // Names stay: a stack trace from the field is worth more than the bytes.
    minify: { whitespace: true, syntax: true, identifiers: false, keepNames: true },
    sourcemap: "linked",
    define: { SLUICE_VERSION: JSON.stringify(version()) },
    compile: {
      outfile,
      ...(target && { target: target.bun, executablePath: await bunFor(target, root) }),
      // A daemon must not take orders from files in its working directory.
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
      // With any option here, the runtime also starts in a working directory that was deleted.
      execArgv: ["--no-addons"],
    },
    throw: false,
  });
  // The map is inside the binary as well.
  rmSync(`${outfile}.map`, { force: true });
  if (!result.success) throw new AggregateError(result.logs, result.logs.join("\n"));
  ignoreVariables(outfile);
}

/** Is the binary older than something it is made of? */
function isStale(): boolean {
  if (!existsSync(NATIVE)) return true;
  const built = statSync(NATIVE).mtimeMs;
  const newer = (path: string): boolean => {
    const entry = statSync(path);
    if (!entry.isDirectory()) return entry.mtimeMs > built;
    if (path === join(root, "asm/out")) return false;
    return readdirSync(path).some((name) => newer(join(path, name)));
  };
  return SOURCES.some((name) => newer(join(root, name)));
}

function printSize(path: string): void {
  const bytes = statSync(path).size;
  const shown = bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(`${relative(root, path).padEnd(34)} ${shown.padStart(10)}`);
}

function printError(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Targets by the names given; `all` is every one. */
function targetsOf(names: readonly string[]): readonly Target[] {
  if (names.includes("all")) return TARGETS;
  return names.map((name) => {
    const target = TARGETS.find((candidate) => candidate.name === name);
    if (target === undefined) {
      const known = TARGETS.map((candidate) => candidate.name).join(", ");
      throw new Error(`--target: invalid value "${name}": must be all or one of ${known}`);
    }
    return target;
  });
}

/** Throws with the usage if there is an option that it does not know. */
function readOptions() {
  try {
    return parseArgs({
      options: {
        check: { type: "boolean", default: false },
        core: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        "if-stale": { type: "boolean", default: false },
        target: { type: "string", multiple: true, default: [] },
      },
    }).values;
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  }
}

async function main(): Promise<number> {
  const values = readOptions();
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const targets = targetsOf(values.target);
  if (values.check) {
    const tsc = Bun.spawnSync(["node_modules/.bin/tsc", "-p", "tsconfig.json"], {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
    });
    if (!tsc.success) return 1;
  }
  if (values["if-stale"] && !isStale()) return 0;

  printSize(await compileCore("debug"));
  printSize(await compileCore("release"));
  if (values.core) return 0;

  if (targets.length === 0) {
    await buildBinary({ outfile: NATIVE });
    printSize(NATIVE);
  }
  let failed = 0;
  for (const target of targets) {
    const outfile = join(root, `dist/sluice-${target.name}`);
    try {
      await buildBinary({ outfile, target });
      printSize(outfile);
    } catch (error) {
      failed = 1;
      const reason = error instanceof Error ? error.message : String(error);
      printError(`dist/sluice-${target.name}: not built: ${reason}`);
    }
  }
  return failed;
}

if (import.meta.main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    printError(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
