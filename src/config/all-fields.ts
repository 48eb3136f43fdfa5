/** What is known of the fields of a configuration file, as data. A dotted path names a field. */

import { printDuration } from "./duration.ts";
import type { Field, FieldType, FieldValue, VmoduleItem } from "./field.ts";
import { OWN_FIELDS } from "./own-fields.ts";
import { UPSTREAM_FIELDS } from "./upstream-fields.ts";

const ALL = { ...UPSTREAM_FIELDS, ...OWN_FIELDS };

/** `clientConnection.kubeconfig`, `mode`: the names on the way to a field, with dots between them. */
export type FieldPath = keyof typeof ALL;

/** The fields of one type. */
export type PathOf<Type extends FieldType> = {
  [Path in FieldPath]: (typeof ALL)[Path]["type"] extends Type ? Path : never;
}[FieldPath];

/** What a field comes to in the configuration: durations are milliseconds, a list may be absent. */
export type ValueAt<Path extends FieldPath> = ValueOfType[(typeof ALL)[Path]["type"]];

interface ValueOfType {
  readonly string: string;
  readonly boolean: boolean;
  readonly integer: number;
  readonly number: number;
  readonly duration: number;
  readonly "flush-period": number;
  readonly quantity: string | number;
  readonly strings: readonly string[] | null;
  readonly gates: { readonly [name: string]: boolean };
  readonly vmodule: readonly VmoduleItem[];
}

const SECTIONS: ReadonlySet<string> = new Set(
  Object.keys(ALL).flatMap((path) => {
    const parts = path.split(".");
    return parts.slice(1).map((_, depth) => parts.slice(0, depth + 1).join("."));
  }),
);

/** Does a field have this path? Whatever a file calls its own, such as `constructor`, is none. */
export function isFieldPath(path: string): path is FieldPath {
  return Object.hasOwn(ALL, path);
}

/** Is this the path of a mapping that holds fields? */
export function isSection(path: string): boolean {
  return SECTIONS.has(path);
}

/** All that is known of a field. */
export function fieldAt(path: FieldPath): Field {
  return ALL[path];
}

/** Of upstream's document, in its order; or of our own section. */
export function fieldPaths(whose: "upstream" | "own"): readonly FieldPath[] {
  return Object.keys(whose === "own" ? OWN_FIELDS : UPSTREAM_FIELDS) as FieldPath[];
}

/** A value as a file or a flag has it: durations are Go's text. */
export function asWritten(type: FieldType, value: FieldValue): FieldValue {
  const duration = type === "duration" || type === "flush-period";
  return duration && typeof value === "number" ? printDuration(value) : value;
}

/** Does this value say nothing, as upstream's defaulting sees it? */
export function isUnset(field: Field, value: FieldValue): boolean {
  return value === null || (field.zeroIsUnset === true && (value === 0 || value === ""));
}
