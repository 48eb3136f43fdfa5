/**
 * Checks properties with fast-check: a fixed number of random runs in tests, and as many as fit
 * into a time under `npm run fuzz` (test/runner/fuzz.ts).
 *
 * A fuzz stores each counterexample in test/property/corpus/ID.json. Every later test of that
 * property begins with them.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import fc from "fast-check";
import { ROOT } from "./repository.ts";

/** The options of test/runner/fuzz.ts, as JSON in the variable SLUICE_FUZZ. */
export interface FuzzOptions {
  /** Ids of the properties to check; the others pass without a run. */
  readonly ids: readonly string[];
  readonly seconds: number;
  readonly runs?: number;
  readonly seed: number;
  /** Checks only the value that the seed gives at this path. */
  readonly path?: string;
}

/** How often a test checks a property, and which variant of it. */
interface CheckOptions {
  /** Number of random values in tests. */
  readonly numRuns?: number;
  /** The build or family that this call checks, if several calls check the property. */
  readonly variant?: string;
}

/** A counterexample that was found once. */
interface Counterexample {
  /** The arguments of the property, if JSON can hold them. */
  readonly values?: readonly unknown[];
  /** Otherwise the arguments as text, for readers. */
  readonly shown?: string;
  /** Where fast-check found them; another value is there once the arbitraries change. */
  readonly seed: number;
  readonly path: string;
}

const FUZZ_VARIABLE = process.env["SLUICE_FUZZ"];
const FUZZ = FUZZ_VARIABLE ? (JSON.parse(FUZZ_VARIABLE) as FuzzOptions) : undefined;
/** Tests of this file have their own. */
const CORPUS = process.env["SLUICE_CORPUS"] ?? join(ROOT, "test/property/corpus");
const DEFAULT_RUNS = 100;
/** Limit for a test; a fuzz adds its own time. */
const TEST_LIMIT_MS = 300_000;

/** True under `npm run fuzz`, which may check few values or none. */
export const IS_FUZZ = FUZZ !== undefined;

/** Limit for a test with a property that takes longer than the 5 s that Bun allows. */
export const PROPERTY_LIMIT_MS = TEST_LIMIT_MS + (FUZZ?.seconds ?? 0) * 1000;

/**
 * Checks a property.
 * @param id unique in test/; several builds or families may check the property of one id
 * @param options a plain number is the number of random values in tests
 * @throws if a value is a counterexample
 */
export function assertProperty<Values extends unknown[]>(
  id: string,
  property: fc.IAsyncProperty<Values>,
  options?: number | CheckOptions,
): Promise<void>;
export function assertProperty<Values extends unknown[]>(
  id: string,
  property: fc.IProperty<Values>,
  options?: number | CheckOptions,
): void;
export function assertProperty<Values extends unknown[]>(
  id: string,
  property: fc.IAsyncProperty<Values> | fc.IProperty<Values>,
  options: number | CheckOptions = {},
): Promise<void> | void {
  const { numRuns = DEFAULT_RUNS, variant } =
    typeof options === "number" ? { numRuns: options } : options;
  const name = variant === undefined ? id : `${id} (${variant})`;
  const checks = FUZZ
    ? fuzzOf<Values>(id, name, FUZZ)
    : [...corpusOf<Values>(id), testOf<Values>(numRuns)];
  // Synchronous properties stay synchronous.
  return checks.reduce<Promise<void> | void>((earlier, parameters) => {
    const check = () => fc.assert(property, parameters);
    return earlier instanceof Promise ? earlier.then(check) : check();
  }, undefined);
}

function corpusOf<Values extends unknown[]>(id: string): fc.Parameters<Values>[] {
  return readCorpus(id).map(({ values, seed, path }) => {
    const from = values ? { examples: [values as Values] } : { seed, path };
    return { ...from, numRuns: 1, endOnFailure: true };
  });
}

function testOf<Values extends unknown[]>(numRuns: number): fc.Parameters<Values> {
  return { numRuns, includeErrorInReport: true };
}

function fuzzOf<Values extends unknown[]>(
  id: string,
  name: string,
  { ids, seconds, runs = Number.MAX_SAFE_INTEGER, seed, path }: FuzzOptions,
): fc.Parameters<Values>[] {
  if (!ids.includes(id)) return [];
  return [
    {
      seed,
      numRuns: path === undefined ? runs : 1,
      ...(path !== undefined && { path }),
      interruptAfterTimeLimit: seconds * 1000,
      includeErrorInReport: true,
      reporter: (details) => report(id, name, details),
    },
  ];
}

/** Prints and stores the result of a fuzz. fast-check leaves it to a reporter to throw. */
function report<Values extends unknown[]>(
  id: string,
  name: string,
  details: fc.RunDetails<Values>,
): void {
  const { failed, numRuns, seed, counterexample, counterexamplePath: path } = details;
  console.log(`fuzz: ${name}: ${numRuns} values${failed ? ", counterexample" : ""}`);
  if (!failed) return;
  if (counterexample !== null && path !== null) {
    const values = isPlain(counterexample)
      ? { values: counterexample }
      : { shown: fc.stringify(counterexample) };
    const stored = store(id, { ...values, seed, path });
    console.log(`fuzz: ${name}: seed ${seed}, path ${path}, stored in ${stored}`);
    console.log(`fuzz: ${name}: replay: npm run fuzz -- ${id} --seed=${seed} --path=${path}`);
  }
  throw new Error(fc.defaultReportMessage(details));
}

function pathOf(id: string): string {
  return join(CORPUS, `${id}.json`);
}

function readCorpus(id: string): readonly Counterexample[] {
  const path = pathOf(id);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Counterexample[]) : [];
}

/** @returns the file's path, relative to the root. */
function store(id: string, found: Counterexample): string {
  const path = pathOf(id);
  const known = readCorpus(id);
  const isKnown = known.some((other) =>
    found.values
      ? Bun.deepEquals(other.values, found.values)
      : other.seed === found.seed && other.path === found.path,
  );
  if (!isKnown) {
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, `${JSON.stringify([...known, found], undefined, 2)}\n`);
  }
  return relative(ROOT, path);
}

/** Is JSON's copy of it the same? */
function isPlain(value: unknown): boolean {
  if (value === null || typeof value === "boolean" || typeof value === "string") return true;
  if (typeof value === "number") return Number.isFinite(value) && !Object.is(value, -0);
  if (typeof value !== "object") return false;
  if (Array.isArray(value))
    return Object.keys(value).length === value.length && value.every(isPlain);
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return false;
  return Object.values(value).every(isPlain);
}
