/**
 * Decodes a parsed configuration file into values of known fields. Like kube-proxy, it ignores
 * unknown names and rejects wrong types. In our own section an unknown name is a fault, because it
 * can only be a mistake.
 */

import { parseDuration } from "./duration.ts";
import type { FieldType, FieldValue } from "./field.ts";
import { type FieldPath, fieldAt, fieldPaths, isFieldPath, isSection } from "./fields.ts";

/** An unusable value: the field's path, the violated rule, and the value. */
export interface ConfigFault {
  readonly path: string;
  /** Set if the fault is neither an invalid nor a missing value. */
  readonly kind?: "empty file" | "unknown field" | undefined;
  readonly rule: string;
  readonly value: unknown;
}

/** A decoded file. A configuration with any fault is rejected. */
export interface DecodedFile {
  /** The fields that the file sets, with durations in milliseconds. A null sets nothing. */
  readonly values: Map<FieldPath, FieldValue>;
  readonly faults: ConfigFault[];
  /** Paths that belong neither to kube-proxy 1.36 nor to our section. */
  readonly unknown: string[];
}

const API_VERSION = "kubeproxy.config.k8s.io/v1alpha1";
const KIND = "KubeProxyConfiguration";

const OWN_SECTION = "sluice.";

/**
 * Checks the names and types of all fields of a file. `value` is its parsed YAML or JSON.
 * `buildConfig` checks which values are valid, alone and together.
 */
export function decodeDocument(value: unknown): DecodedFile {
  const decoded: DecodedFile = { values: new Map(), faults: [], unknown: [] };
  if (!isMapping(value)) {
    const empty = value === null || value === undefined;
    const kind = empty ? "empty file" : undefined;
    decoded.faults.push({ path: "", kind, rule: `must contain a ${KIND}`, value });
    return decoded;
  }
  const { apiVersion, kind, ...fields } = value;
  if (apiVersion !== API_VERSION) {
    decoded.faults.push({ path: "apiVersion", rule: `must be ${API_VERSION}`, value: apiVersion });
  }
  if (kind !== KIND) {
    decoded.faults.push({ path: "kind", rule: `must be ${KIND}`, value: kind });
  }
  decodeSection(fields, "", decoded);
  return decoded;
}

function decodeSection(
  section: { readonly [name: string]: unknown },
  prefix: string,
  decoded: DecodedFile,
): void {
  for (const [name, value] of Object.entries(section)) {
    const path = `${prefix}${name}`;
    const set = value !== null && value !== undefined;
    if (isFieldPath(path)) {
      if (set) decodeField(path, value, decoded);
    } else if (isSection(path)) {
      if (isMapping(value)) decodeSection(value, `${path}.`, decoded);
      else if (set) decoded.faults.push({ path, rule: "must be a mapping", value });
    } else if (path.startsWith(OWN_SECTION)) {
      const rule = `must be one of ${fieldPaths("own").join(", ")}`;
      decoded.faults.push({ path, kind: "unknown field", rule, value });
    } else decoded.unknown.push(path);
  }
}

function decodeField(path: FieldPath, value: unknown, decoded: DecodedFile): void {
  const { name, read } = FIELD_TYPE_RULES[fieldAt(path).type];
  const usable = read(value);
  if (usable === undefined) decoded.faults.push({ path, rule: `must be ${name}`, value });
  else decoded.values.set(path, usable);
}

interface TypeRule {
  readonly name: string;
  /** Returns the stored value; undefined if the type is wrong. */
  readonly read: (value: unknown) => FieldValue | undefined;
}

const INT32_LIMIT = 2 ** 31;

/** Also used for flags, after their text has become a JSON value. */
export const FIELD_TYPE_RULES: { readonly [type in FieldType]: TypeRule } = {
  string: { name: "a string", read: (value) => (typeof value === "string" ? value : undefined) },
  boolean: {
    name: "true or false",
    read: (value) => (typeof value === "boolean" ? value : undefined),
  },
  integer: {
    name: "a 32-bit integer",
    read: (value) =>
      typeof value === "number" &&
      Number.isInteger(value) &&
      value >= -INT32_LIMIT &&
      value < INT32_LIMIT
        ? value
        : undefined,
  },
  number: {
    name: "a number",
    read: (value) => (typeof value === "number" && Number.isFinite(value) ? value : undefined),
  },
  duration: {
    name: "a duration such as 30s or 1h15m",
    read: (value) => (typeof value === "string" ? parseDuration(value) : undefined),
  },
  "flush-period": {
    name: "a duration such as 5s, or a number of nanoseconds",
    read: (value) =>
      typeof value === "string"
        ? parseDuration(value)
        : Number.isInteger(value)
          ? (value as number) / NANOSECONDS_PER_MS
          : undefined,
  },
  quantity: {
    name: "a number of bytes such as 4096 or 4Ki",
    read: (value) =>
      (typeof value === "string" && QUANTITY.test(value)) || Number.isInteger(value)
        ? String(value)
        : undefined,
  },
  strings: {
    name: "a list of strings",
    read: (value) =>
      Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined,
  },
  gates: {
    name: "a mapping of names to true or false",
    read: (value) =>
      isMapping(value) &&
      Object.entries(value).every(([name, gate]) => name !== "" && typeof gate === "boolean")
        ? value
        : undefined,
  },
  vmodule: {
    name: "a list of filePattern (without = or ,) and verbosity",
    read: (value) =>
      Array.isArray(value) && value.every(isVmoduleItem)
        ? value.map(({ filePattern, verbosity = 0 }) => ({ filePattern, verbosity }))
        : undefined,
  },
};

const NANOSECONDS_PER_MS = 1e6;

/** Kubernetes' resource.Quantity. */
const QUANTITY = /^[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/;

function isVmoduleItem(value: unknown): boolean {
  if (!isMapping(value)) return false;
  const { filePattern, verbosity = 0 } = value;
  if (typeof filePattern !== "string" || !/^[^=,]+$/.test(filePattern)) return false;
  return (
    Number.isInteger(verbosity) && (verbosity as number) >= 0 && (verbosity as number) < INT32_LIMIT
  );
}

function isMapping(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
