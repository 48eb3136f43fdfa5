/**
 * Checks properties for much longer than the tests do, on random values that no test has seen.
 *
 * Each call of assertProperty (harness/property.ts) in a test file is a property. A counterexample
 * is stored in test/property/corpus/ and from then on part of the tests: commit it together with
 * the fix. test/fuzz.sh starts it and has the usage.
 */
import { parseArgs } from "node:util";
import type { FuzzOptions } from "../../harness/property.ts";
import { ROOT, textOf } from "../../harness/repository.ts";

const DEFAULT_SECONDS = 10;
/** Two builds of the core, or two families, check a property with variants. */
const VARIANTS = 2;
/** For everything else in a test file. */
const FILE_LIMIT_MS = 300_000;
const SECONDS_PER_MINUTE = 60;
const SEED_MAX = 2 ** 31;

export interface Property {
  readonly id: string;
  /** Relative to the root. */
  readonly file: string;
  /** How many calls check it, each for the full time. */
  readonly variants: number;
}

/** All properties in these files, in their order. */
export function propertiesIn(files: readonly string[]): Property[] {
  return files.flatMap((file) => {
    const [, ...calls] = textOf(file).split(/\bassertProperty\(\s*(?=")/);
    return calls.map((call) => ({
      id: /^"([^"]*)"/.exec(call)?.[1] ?? "",
      file,
      variants: /\bvariant: /.test(call) ? VARIANTS : 1,
    }));
  });
}

/** Returns properties by patterns. A pattern that is an id selects only this property. */
export function selectProperties(
  properties: readonly Property[],
  patterns: readonly string[],
): Property[] {
  if (patterns.length === 0) return [...properties];
  const ids = new Set(properties.map(({ id }) => id));
  return properties.filter(({ id, file }) =>
    patterns.some((pattern) =>
      ids.has(pattern) ? id === pattern : id.includes(pattern) || file.includes(pattern),
    ),
  );
}

/** Returns the first line of a fuzz, with its expected time. */
export function describeFuzz(
  properties: readonly Property[],
  { seconds, seed }: Pick<FuzzOptions, "seconds" | "seed">,
): string {
  const runs = sumOf(properties.map(({ variants }) => variants));
  const minutes = (runs * seconds) / SECONDS_PER_MINUTE;
  const time = minutes < 1 ? `${runs * seconds} s` : `${Math.ceil(minutes)} min`;
  return `fuzz: properties: ${properties.length}, runs: ${runs} of ${seconds} s, about ${time}, seed ${seed}`;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0);
}

/** The test files of the repository. */
export function testFiles(): string[] {
  return [...new Bun.Glob("test/**/*.test.ts").scanSync({ cwd: ROOT })].sort();
}

interface Total {
  values: number;
  counterexamples: number;
  /** Files with tests that failed in another way or were stopped. */
  readonly failed: string[];
}

async function fuzzFile(
  file: string,
  runs: number,
  options: FuzzOptions,
  total: Total,
): Promise<void> {
  const timeoutMs = options.seconds * 1000 + FILE_LIMIT_MS;
  const child = Bun.spawn(
    [process.execPath, "test", "--only-failures", `--timeout=${timeoutMs}`, `./${file}`],
    {
      cwd: ROOT,
      env: { ...process.env, SLUICE_FUZZ: JSON.stringify(options) },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: runs * options.seconds * 1000 + FILE_LIMIT_MS,
    },
  );
  const stderr = new Response(child.stderr).text();
  let found = 0;
  let text = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (text + chunk).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines.filter((each) => each.startsWith("fuzz: "))) {
      console.log(line);
      const [, values = 0, counterexample] = /: (\d+) values(, counterexample)?$/.exec(line) ?? [];
      total.values += Number(values);
      found += counterexample ? 1 : 0;
    }
  }
  if ((await child.exited) === 0) return;
  console.log(await stderr);
  if (found === 0)
    total.failed.push(`${file}: ${child.signalCode ?? `exit status ${child.exitCode}`}`);
  total.counterexamples += found;
}

/** @throws if it is not a whole number of at least `least`. */
function wholeNumber(option: string, text: string, least: number): number {
  const number = Number(text);
  if (text !== "" && Number.isSafeInteger(number) && number >= least) return number;
  throw new Error(`--${option}: invalid value "${text}": must be a whole number from ${least} on`);
}

function readOptions() {
  const { values, positionals: patterns } = parseArgs({
    options: {
      seconds: { type: "string", default: `${DEFAULT_SECONDS}` },
      runs: { type: "string" },
      seed: { type: "string" },
      path: { type: "string" },
      list: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  const { seconds, runs, seed, path, list } = values;
  const properties = selectProperties(propertiesIn(testFiles()), patterns);
  if (properties.length === 0) throw new Error(`no property contains ${patterns.join(" or ")}`);
  if (path !== undefined && (seed === undefined || properties.length > 1)) {
    const found = properties.map(({ id }) => id).join(", ");
    throw new Error(`--path: must come with --seed and a single property (selected: ${found})`);
  }
  const options = {
    seconds: wholeNumber("seconds", seconds, 1),
    ...(runs !== undefined && { runs: wholeNumber("runs", runs, 1) }),
    seed:
      seed === undefined
        ? Math.floor(Math.random() * SEED_MAX)
        : wholeNumber("seed", seed, -SEED_MAX),
    ...(path !== undefined && { path }),
  };
  return { properties, options, list };
}

async function main(): Promise<number> {
  const { properties, options, list } = readOptions();
  if (list) {
    for (const { id, file } of properties) console.log(`${id.padEnd(24)} ${file}`);
    return 0;
  }
  console.log(describeFuzz(properties, options));
  const total: Total = { values: 0, counterexamples: 0, failed: [] };
  for (const [file, mine] of Map.groupBy(properties, (property) => property.file)) {
    const runs = sumOf(mine.map(({ variants }) => variants));
    await fuzzFile(file, runs, { ...options, ids: mine.map(({ id }) => id) }, total);
  }
  for (const failure of total.failed) console.log(`fuzz: failed: ${failure}`);
  console.log(
    `fuzz: ${total.values} values, ${total.counterexamples} counterexamples, seed ${options.seed}`,
  );
  return total.counterexamples + total.failed.length === 0 ? 0 : 1;
}

if (import.meta.main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    process.stderr.write(`fuzz: ${error instanceof Error ? error.message : error} (see --help)\n`);
    process.exitCode = 2;
  }
}
