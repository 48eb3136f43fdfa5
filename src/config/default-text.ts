/** Defaults as people read them: in --help, and in the tables of the documentation. */
import { asWritten, type FieldPath, fieldAt } from "./all-fields.ts";

/** What comes of a field that is not set; "" for nothing. */
export function defaultText(path: FieldPath): string {
  const { type, default: given, shown } = fieldAt(path);
  if (shown !== undefined) return shown;
  const value = asWritten(type, given);
  if (value === null || value === "") return "";
  if (typeof value === "object")
    return Object.keys(value).length === 0 ? "" : JSON.stringify(value);
  return String(value);
}
