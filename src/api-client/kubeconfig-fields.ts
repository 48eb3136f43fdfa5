/** Reads a kubeconfig field by field; every error names its field. */
import { dirname, resolve } from "node:path";
import { isJsonObject, type JsonObject } from "../base/json.ts";
import { kubeconfigError } from "./credentials.ts";

const BASE64 = /^(?:[A-Za-z\d+/]{4})*(?:[A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/;

export class KubeconfigFields {
  readonly file: string;
  readonly #path: string;
  readonly #values: JsonObject;

  /**
   * @param path of this object within the file, "" for its root.
   * @param value null counts as an empty object
   */
  constructor(file: string, path: string, value: unknown) {
    this.file = file;
    this.#path = path;
    const values = value ?? {};
    if (!isJsonObject(values)) {
      throw kubeconfigError(
        file,
        path === "" ? "content" : path,
        wrongKind(values, "must be a mapping"),
      );
    }
    this.#values = values;
  }

  path(field: string): string {
    return this.#path === "" ? field : `${this.#path}.${field}`;
  }

  error(field: string, rule: string) {
    return kubeconfigError(this.file, this.path(field), rule);
  }

  /** Says where a field is, for a message about the file that it names. */
  place(field: string): string {
    return `${this.path(field)} of ${this.file}`;
  }

  /** Resolves a path relative to the kubeconfig's directory. */
  resolve(path: string): string {
    return resolve(dirname(this.file), path);
  }

  /** Returns the value as it is. */
  value(field: string): unknown {
    return this.#values[field];
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
    return new KubeconfigFields(this.file, this.path(field), this.#values[field]);
  }

  /** Undefined if absent or empty. */
  bytes(field: string): Buffer | undefined {
    const text = this.text(field).replace(/[\r\n]/g, "");
    if (text === "") return undefined;
    if (BASE64.test(text)) return Buffer.from(text, "base64");
    throw this.error(field, "invalid value: must be base64");
  }

  texts(field: string): string[] {
    return this.#items(field).map((value, index) => {
      if (typeof value === "string") return value;
      throw this.error(`${field}[${index}]`, wrongKind(value, "must be a string"));
    });
  }

  list(field: string): KubeconfigFields[] {
    return this.#items(field).map(
      (entry, index) => new KubeconfigFields(this.file, this.path(`${field}[${index}]`), entry),
    );
  }

  /**
   * Returns functions that read the field `content` of the entries of a list, by their names. Other
   * entries may have mistakes.
   * @throws SluiceError KUBECONFIG_INVALID if two entries have the same name
   */
  named(field: string, content: string): Map<string, () => KubeconfigFields> {
    const entries = new Map<string, () => KubeconfigFields>();
    for (const [index, entry] of this.#items(field).entries()) {
      const name = isJsonObject(entry) ? entry["name"] : undefined;
      if (typeof name !== "string" || name === "") continue;
      const path = this.path(`${field}[${index}]`);
      if (entries.has(name)) {
        throw kubeconfigError(this.file, `${path}.name`, `duplicate name ${JSON.stringify(name)}`);
      }
      entries.set(name, () => new KubeconfigFields(this.file, path, entry).object(content));
    }
    return entries;
  }

  /** Stands for an entry that is not listed. */
  absent(field: string): KubeconfigFields {
    return new KubeconfigFields(this.file, this.path(field), {});
  }

  #items(field: string): readonly unknown[] {
    const value = this.#values[field] ?? [];
    if (Array.isArray(value)) return value;
    throw this.error(field, wrongKind(value, "must be a list"));
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
