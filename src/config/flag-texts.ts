/** Every flag with its value, as upstream's /flagz shows them. */

import { asWritten } from "./all-fields.ts";
import { defaultText } from "./default-text.ts";
import type { FieldValue } from "./field.ts";
import type { FlagValues } from "./flag-values.ts";
import { FLAGS } from "./flags.ts";

/** What was given on the command line, and of all other flags the default. */
export function flagTexts(flags: FlagValues): { readonly [name: string]: string } {
  return Object.fromEntries(
    FLAGS.map(({ name, type, fields = [] }) => {
      const given = flags.get(name);
      const [field] = fields;
      const fallback = field === undefined ? "" : defaultText(field);
      const unset = fallback === "" && type === "boolean" ? "false" : fallback;
      return [name, given === undefined ? unset : textOf(asWritten(type, given))];
    }),
  );
}

function textOf(value: FieldValue): string {
  if (typeof value !== "object" || value === null) return String(value);
  const entries = Array.isArray(value) ? value : Object.entries(value);
  return entries.map((entry) => textOfEntry(entry)).join(",");
}

/** Of a mapping, or of --vmodule: `name=value`. */
function textOfEntry(entry: unknown): string {
  if (typeof entry !== "object" || entry === null) return String(entry);
  return Object.values(entry).join("=");
}
