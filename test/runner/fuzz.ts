/**
 * Checks properties for much longer than the tests do, on random values that no test has seen.
 *
 * Each call of assertProperty (harness/property.ts) in a test file is a property. A counterexample
 * is stored in test/property/corpus/ and from then on part of the tests: commit it together with
 * the fix.
 */
import { parseArgs } from "node:util";
import type { FuzzOptions } from "../../harness/property.ts";
import { ROOT, textOf } from "../../harness/repository.ts";

const USAGE = `usage: npm run fuzz [-- [--seconds N] [--runs N] [--seed N [--path P]] [PATTERN]...]

  --seconds N   time for each property; those that test several builds or families take it
                several times (default 10)
  --runs N      also stop a property after this many values
  --seed N      the seed of all random values, as an earlier fuzz or test printed it
  --path P      with --seed and a single property: only the value at this path
  --list        print the properties
  --help        print this
  PATTERN       only properties whose id or file contains it

Ends with the number of values and counterexamples; exit status 1 if there is a counterexample.`;

const DEFAULT_SECONDS = 10;
/** Builds, families and more that one call of assertProperty may stand for. */
const VARIANTS_MAX = 4;
/** For everything else in a test file. */
const FILE_LIMIT_MS = 300_000;
const SEED_MAX = 2 ** 31;

export interface Property {
  readonly id: string;
  /** Relative to the root. */
  readonly file: string;
}

/** All properties in these files, in their order. */
export function propertiesIn(files: readonly string[]): Property[] {
  return files.flatMap((file) =>
    [...textOf(file).matchAll(/\bassertProperty\(\s*"([^"]*)"/g)].map(([, id = ""]) => ({
      id,
      file,
    })),
  );
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

async function fuzzFile(file: string, options: FuzzOptions, total: Total): Promise<void> {
  const timeoutMs = options.seconds * 1000 + FILE_LIMIT_MS;
  const child = Bun.spawn(
    [process.execPath, "test", "--only-failures", `--timeout=${timeoutMs}`, `./${file}`],
    {
      cwd: ROOT,
      env: { ...process.env, SLUICE_FUZZ: JSON.stringify(options) },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: options.ids.length * VARIANTS_MAX * options.seconds * 1000 + FILE_LIMIT_MS,
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
      help: { type: "boolean", short: "h", default: false },
    },
    allowPositionals: true,
  });
  const { seconds, runs, seed, path, list, help } = values;
  const properties = propertiesIn(testFiles()).filter(
    ({ id, file }) =>
      patterns.length === 0 || patterns.some((each) => id.includes(each) || file.includes(each)),
  );
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
  return { properties, options, list, help };
}

async function main(): Promise<number> {
  const { properties, options, list, help } = readOptions();
  if (help) {
    console.log(USAGE);
    return 0;
  }
  if (list) {
    for (const { id, file } of properties) console.log(`${id.padEnd(24)} ${file}`);
    return 0;
  }
  const { seconds, seed } = options;
  console.log(`fuzz: properties: ${properties.length}, ${seconds} s each, seed ${seed}`);
  const total: Total = { values: 0, counterexamples: 0, failed: [] };
  for (const [file, mine] of Map.groupBy(properties, (property) => property.file)) {
    await fuzzFile(file, { ...options, ids: mine.map(({ id }) => id) }, total);
  }
  for (const failure of total.failed) console.log(`fuzz: failed: ${failure}`);
  console.log(
    `fuzz: ${total.values} values, ${total.counterexamples} counterexamples, seed ${seed}`,
  );
  return total.counterexamples + total.failed.length === 0 ? 0 : 1;
}

if (import.meta.main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    process.stderr.write(`fuzz: ${error instanceof Error ? error.message : error}\n\n${USAGE}\n`);
    process.exitCode = 2;
  }
}
