/**
 * The values that a file and flags set, with defaults, and a view of them that records which ones
 * were used and which ones are invalid.
 */

import type { Fault } from "./decode-config.ts";
import { printDuration } from "./duration.ts";
import type { FieldValue } from "./field.ts";
import { type FieldPath, fieldAt, isUnset, type PathOf, type ValueAt } from "./fields.ts";

/** What is set; durations in milliseconds. */
export type FieldValues = ReadonlyMap<FieldPath, FieldValue>;

/** The value in effect: what is set, or else the default. */
export function effectiveValue<Path extends FieldPath>(
  values: FieldValues,
  path: Path,
): ValueAt<Path> {
  const value = isSet(values, path) ? values.get(path) : fieldAt(path).default;
  // Decoding and flags let nothing in that is not of the field's type (TYPES in decode-config.ts).
  return value as ValueAt<Path>;
}

/**
 * Whether the file or a flag sets the field. A zero that upstream's defaulting replaces does not
 * count.
 */
export function isSet(values: FieldValues, path: FieldPath): boolean {
  const value = values.get(path);
  return value !== undefined && !isUnset(fieldAt(path), value);
}

/**
 * Whether the field is set to another value than its default. kubeadm writes files with every
 * default; most of their fields say nothing.
 */
export function differsFromDefault(values: FieldValues, path: FieldPath): boolean {
  const differs = JSON.stringify(values.get(path)) !== JSON.stringify(fieldAt(path).default);
  return isSet(values, path) && differs;
}

/** The largest value of an integer field: no bound. */
export const INT32_MAX = 2 ** 31 - 1;

export class Settings {
  readonly #values: FieldValues;
  readonly #faults: Fault[];
  readonly #used = new Set<FieldPath>();

  /** Faults are added to `faults`. */
  constructor(values: FieldValues, faults: Fault[]) {
    this.#values = values;
    this.#faults = faults;
  }

  /** The value in effect, which the configuration then depends on. */
  get<Path extends FieldPath>(path: Path): ValueAt<Path> {
    this.#used.add(path);
    return effectiveValue(this.#values, path);
  }

  /**
   * That of the first field; without one the default of `like`: defaults are ours, which are written down with
   * nftables, whatever the mode.
   */
  getOrDefault<Path extends FieldPath>(path: Path | undefined, like: Path): ValueAt<Path> {
    return path === undefined ? effectiveValue(new Map(), like) : this.get(path);
  }

  /** The first field that the file or a flag says something about. */
  firstSet<Path extends FieldPath>(paths: readonly Path[]): Path | undefined {
    return paths.find((path) => isSet(this.#values, path));
  }

  /** A whole number, `from` to `to`. */
  integer(path: PathOf<"integer">, from: number, to: number): number {
    this.checkRange(path, from, to);
    return this.get(path);
  }

  /** Milliseconds, 0 or more. */
  timeout(path: PathOf<"duration">): number {
    const ms = this.get(path);
    if (ms < 0) this.fault(path, "must not be negative", printDuration(ms));
    return ms;
  }

  /** The value, and a fault if it is none of these. */
  oneOf<const Choice extends string>(path: PathOf<"string">, choices: readonly Choice[]): Choice {
    const given = this.get(path);
    const choice = choices.find((known) => known === given);
    if (choice === undefined) this.fault(path, `must be one of ${choices.join(", ")}`, given);
    return choice ?? (fieldAt(path).default as Choice);
  }

  /** Also of a field that does not count here: upstream refuses it in every mode. */
  checkRange(path: PathOf<"integer">, from: number, to: number): void {
    const value = effectiveValue(this.#values, path);
    if (value >= from && value <= to) return;
    const rule = to === INT32_MAX ? "must not be negative" : `must be ${from} to ${to}`;
    this.fault(path, rule, value);
  }

  fault(path: string, rule: string, value: unknown): void {
    this.#faults.push({ path, rule, value });
  }

  /**
   * Fields that are set and would count in another mode, or beside other settings, but do not in these; without
   * those that say no more than the default.
   */
  ignored(): FieldPath[] {
    return [...this.#values.keys()].filter((path) => {
      if (this.#used.has(path) || fieldAt(path).idle !== undefined) return false;
      return differsFromDefault(this.#values, path);
    });
  }
}
