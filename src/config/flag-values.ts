/** Parses and prints values of flags, and maps flags to the fields that they set. */
import { SluiceError } from "../base/errors.ts";
import { FIELD_TYPE_RULES } from "./decode-config.ts";
import type { FieldType, FieldValue } from "./field.ts";
import { asWritten, defaultText, type FieldPath } from "./fields.ts";
import { FLAGS, type Flag, printFlagName } from "./flags.ts";

/** Given flags by name, typed like their fields: durations in milliseconds, lists as lists. */
export type FlagValues = ReadonlyMap<string, FieldValue>;

const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "F", "false", "FALSE", "False"]);

/** Forms of values that differ between the command line and the configuration file. */
const GRAMMARS: { readonly [type in FieldType]?: string } = {
  gates: "NAME=true or NAME=false, separated by commas",
  vmodule: "FILE=N, separated by commas",
};

/**
 * Parses a flag's text like Go's pflag: `1`, `t` and `TRUE` are true. Lists are separated by
 * commas. Feature gates are `Name=true,Other=false`, log levels of files `pattern=2,other=4`.
 * @throws SluiceError CONFIG_INVALID if the text does not match the type of the flag
 */
export function readFlag(flag: Flag, text: string): FieldValue {
  const value = FIELD_TYPE_RULES[flag.type].read(toJson(flag, text));
  if (value !== undefined) return value;
  const rule = `must be ${GRAMMARS[flag.type] ?? FIELD_TYPE_RULES[flag.type].name}`;
  throw new SluiceError(
    "CONFIG_INVALID",
    `${printFlagName(flag.name)}: invalid value ${JSON.stringify(text)}: ${rule}`,
  );
}

/**
 * Combines the values of a repeated flag. Lists and mappings accumulate; otherwise the last one
 * wins.
 */
export function mergeFlagValues(before: FieldValue | undefined, next: FieldValue): FieldValue {
  if (Array.isArray(before) && Array.isArray(next)) return [...before, ...next];
  const areLists = [before, next].every(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  );
  return areLists ? { ...(before as object), ...(next as object) } : next;
}

/** Returns the text of a flag with a text value; "" if it is not given. */
export function printFlagValues(flags: FlagValues, name: string): string {
  const value = flags.get(name);
  return typeof value === "string" ? value : "";
}

/**
 * Returns the fields that the flags set. With `hasFile`, it skips flags that do not count together
 * with --config.
 */
export function fieldsFromFlags(flags: FlagValues, hasFile: boolean): Map<FieldPath, FieldValue> {
  const values = new Map<FieldPath, FieldValue>();
  for (const { name, fields = [], withConfig } of FLAGS) {
    const value = flags.get(name);
    if (value === undefined || (hasFile && !withConfig)) continue;
    for (const path of fields) values.set(path, value);
  }
  return values;
}

/** Returns the flag that sets a field (or an item of it), to name it in a message. */
export function flagForField(
  path: string,
  flags: FlagValues,
  hasFile: boolean,
): string | undefined {
  const flag = FLAGS.find(
    ({ name, fields, withConfig }) =>
      flags.has(name) &&
      (withConfig || !hasFile) &&
      fields?.some((field) => path === field || path.startsWith(`${field}[`)),
  );
  return flag && printFlagName(flag.name);
}

function toJson(flag: Flag, text: string): unknown {
  switch (flag.type) {
    case "boolean":
      return TRUE.has(text) ? true : FALSE.has(text) ? false : undefined;
    case "integer":
    case "number":
      return text.trim() === text && text !== "" ? Number(text) : undefined;
    case "strings":
      return text === "" ? [] : text.split(",");
    case "gates":
      return readGates(text);
    case "vmodule":
      return readVmodule(text);
    default:
      return text;
  }
}

/** Parses `A=true, B=false`. Empty parts are ignored. */
function readGates(text: string): unknown {
  const pairs = pairsOf(text).map(([name = "", value = "", ...more]) => {
    const gate = TRUE.has(value) ? true : FALSE.has(value) ? false : undefined;
    return [name, more.length === 0 ? gate : undefined] as const;
  });
  return Object.fromEntries(pairs);
}

/** Parses `telemetry=2,event*=2`, like klog. */
function readVmodule(text: string): unknown {
  return pairsOf(text).map(([filePattern, level = "", ...more]) => ({
    filePattern,
    // NaN makes an invalid level a fault. A missing level would count as 0 and pass.
    verbosity: /^\d+$/.test(level) && more.length === 0 ? Number(level) : NaN,
  }));
}

function pairsOf(text: string): string[][] {
  const parts = text.split(",").filter((part) => part !== "");
  return parts.map((part) => part.split("=").map((word) => word.trim()));
}

/** Returns every flag with its given or default value, as in kube-proxy's /flagz. */
export function flagTexts(flags: FlagValues): { readonly [name: string]: string } {
  return Object.fromEntries(
    FLAGS.map(({ name, type, fields = [] }) => {
      const given = flags.get(name);
      const [field] = fields;
      const fallback = field === undefined ? "" : defaultText(field);
      const unset = fallback === "" && type === "boolean" ? "false" : fallback;
      return [name, given === undefined ? unset : flagText(asWritten(type, given))];
    }),
  );
}

function flagText(value: FieldValue): string {
  if (typeof value !== "object" || value === null) return String(value);
  const entries = Array.isArray(value) ? value : Object.entries(value);
  return entries.map((entry) => entryText(entry)).join(",");
}

/** Prints an entry of a mapping or of --vmodule as `name=value`. */
function entryText(entry: unknown): string {
  if (typeof entry !== "object" || entry === null) return String(entry);
  return Object.values(entry).join("=");
}
