/** Reads untyped configuration field by field; every error names its field. */
import { isJsonObject, type JsonObject } from "../base/json.ts";
import { kubeconfigError } from "./credentials.ts";

export class KubeconfigFields {
  readonly #file: string;
  readonly #path: string;
  readonly #values: JsonObject;

  /** @param path of this object within the file, "" for its root. */
  constructor(file: string, path: string, value: unknown) {
    this.#file = file;
    this.#path = path;
    if (!isJsonObject(value)) {
      throw kubeconfigError(
        file,
        path === "" ? "content" : path,
        wrongKind(value, "must be a mapping"),
      );
    }
    this.#values = value;
  }

  path(field: string): string {
    return this.#path === "" ? field : `${this.#path}.${field}`;
  }

  error(field: string, rule: string) {
    return kubeconfigError(this.#file, this.path(field), rule);
  }

  /** Returns the untyped value, for a library that parses it itself. */
  raw(): JsonObject {
    return this.#values;
  }

  /** Reports whether the field is present and neither null nor "". */
  has(field: string): boolean {
    const value = this.#values[field];
    return value !== undefined && value !== null && value !== "";
  }

  forbid(field: string, rule: string): void {
    if (this.has(field)) throw this.error(field, `${rule} (remove the field)`);
  }

  /** Returns "" if absent. */
  text(field: string): string {
    if (!this.has(field)) return "";
    const value = this.#values[field];
    if (typeof value === "string") return value;
    throw this.error(field, wrongKind(value, "must be a string"));
  }

  required(field: string, rule: string): string {
    const value = this.text(field);
    if (value !== "") return value;
    throw this.error(field, `required value: ${rule}`);
  }

  flag(field: string): boolean {
    const value = this.#values[field] ?? false;
    if (typeof value === "boolean") return value;
    throw this.error(field, wrongKind(value, "must be true or false"));
  }

  object(field: string): KubeconfigFields {
    return new KubeconfigFields(this.#file, this.path(field), this.#values[field]);
  }

  list(field: string): KubeconfigFields[] {
    const value = this.#values[field] ?? [];
    if (!Array.isArray(value)) {
      throw this.error(field, wrongKind(value, "must be a list"));
    }
    return value.map(
      (entry, index) => new KubeconfigFields(this.#file, this.path(`${field}[${index}]`), entry),
    );
  }
}

/** Names only the kind of the value, because the value may be secret. */
function wrongKind(value: unknown, rule: string): string {
  return value === undefined
    ? `required value: ${rule}`
    : `invalid value (${kindOf(value)}): ${rule}`;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : `a ${typeof value}`;
}
