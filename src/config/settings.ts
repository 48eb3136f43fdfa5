/**
 * Reads the values that file and flags set, with defaults. It records which values were used and
 * which are invalid.
 */

import type { ConfigFault } from "./decode-config.ts";
import { printDuration } from "./duration.ts";
import type { FieldValue } from "./field.ts";
import { type FieldPath, fieldAt, isUnset, type PathOf, type ValueAt } from "./fields.ts";

/** The values that are set, with durations in milliseconds. */
export type FieldValues = ReadonlyMap<FieldPath, FieldValue>;

/** Returns the effective value: the one that is set, or the default. */
export function effectiveValue<Path extends FieldPath>(
  values: FieldValues,
  path: Path,
): ValueAt<Path> {
  const value = isSet(values, path) ? values.get(path) : fieldAt(path).default;
  // Decoding and flags accept only values of the field's type (FIELD_TYPE_RULES).
  return value as ValueAt<Path>;
}

/**
 * Reports whether the file or a flag sets the field. A zero that kube-proxy's defaulting replaces
 * does not count.
 */
export function isSet(values: FieldValues, path: FieldPath): boolean {
  const value = values.get(path);
  return value !== undefined && !isUnset(fieldAt(path), value);
}

/**
 * Reports whether the field is set to something other than its default. kubeadm writes files with
 * all defaults, so most of their fields mean nothing.
 */
export function differsFromDefault(values: FieldValues, path: FieldPath): boolean {
  const differs = JSON.stringify(values.get(path)) !== JSON.stringify(fieldAt(path).default);
  return isSet(values, path) && differs;
}

/** The largest value of an integer field, which stands for no limit. */
export const INT32_MAX = 2 ** 31 - 1;

export class FieldReader {
  readonly #values: FieldValues;
  readonly #faults: ConfigFault[];
  readonly #used = new Set<FieldPath>();

  /** Faults are added to `faults`. */
  constructor(values: FieldValues, faults: ConfigFault[]) {
    this.#values = values;
    this.#faults = faults;
  }

  /** Returns the effective value, and records that the configuration uses it. */
  get<Path extends FieldPath>(path: Path): ValueAt<Path> {
    this.#used.add(path);
    return effectiveValue(this.#values, path);
  }

  /**
   * Returns the value of `path`. If `path` is undefined, returns the default of `like`, because our
   * defaults are defined under nftables for every mode.
   */
  getOrDefault<Path extends FieldPath>(path: Path | undefined, like: Path): ValueAt<Path> {
    return path === undefined ? effectiveValue(new Map(), like) : this.get(path);
  }

  /** Returns the first field that the file or a flag sets. */
  firstSet<Path extends FieldPath>(paths: readonly Path[]): Path | undefined {
    return paths.find((path) => isSet(this.#values, path));
  }

  /** Returns an integer and checks that it is in the range `from` to `to`. */
  integer(path: PathOf<"integer">, from: number, to: number): number {
    this.checkRange(path, from, to);
    return this.get(path);
  }

  /** Returns milliseconds and checks that they are not negative. */
  timeout(path: PathOf<"duration">): number {
    const ms = this.get(path);
    if (ms < 0) this.fault(path, "must be 0 or greater", printDuration(ms));
    return ms;
  }

  /** Returns the value and checks that it is one of these. */
  oneOf<const Choice extends string>(path: PathOf<"string">, choices: readonly Choice[]): Choice {
    const given = this.get(path);
    const choice = choices.find((known) => known === given);
    if (choice === undefined) this.fault(path, `must be one of ${choices.join(", ")}`, given);
    return choice ?? (fieldAt(path).default as Choice);
  }

  /**
   * Checks a field even if the mode does not use it, because kube-proxy rejects it in every mode.
   */
  checkRange(path: PathOf<"integer">, from: number, to: number): void {
    const value = effectiveValue(this.#values, path);
    if (value >= from && value <= to) return;
    const rule = to === INT32_MAX ? "must be 0 or greater" : `must be between ${from} and ${to}`;
    this.fault(path, rule, value);
  }

  fault(path: string, rule: string, value: unknown): void {
    this.#faults.push({ path, rule, value });
  }

  /**
   * Returns fields that are set but have no effect with this mode or these settings. Fields that
   * equal their default are left out.
   */
  ignored(): FieldPath[] {
    return [...this.#values.keys()].filter((path) => {
      if (this.#used.has(path) || fieldAt(path).idle !== undefined) return false;
      return differsFromDefault(this.#values, path);
    });
  }
}
