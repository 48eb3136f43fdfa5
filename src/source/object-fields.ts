/** Reads and checks the fields of an API object of unknown shape. Null counts as absent. */
import { SluiceError } from "../base/errors.ts";
import { isJsonObject, type JsonObject, objectAt, stringAt } from "../base/json.ts";

export class ObjectFields {
  readonly #subject: string;
  readonly #path: string;
  readonly #values: JsonObject;

  /**
   * @param subject such as `Service default/web`
   * @param path of `value` within the object, "" for the whole object
   * @throws SluiceError OBJECT_INVALID here and in every method; the message names field and value
   */
  constructor(subject: string, path: string, value: unknown) {
    this.#subject = subject;
    this.#path = path;
    if (!isJsonObject(value)) throw invalid(subject, path, "must be an object", value);
    this.#values = value;
  }

  text(field: string): string | undefined {
    const value = this.#get(field);
    if (value === undefined || typeof value === "string") return value;
    throw this.#wrong(field, "must be a string", value);
  }

  integer(field: string): number | undefined {
    const value = this.#get(field);
    if (value === undefined) return value;
    if (typeof value === "number" && value === (value | 0)) return value;
    throw this.#wrong(field, "must be a 32-bit integer", value);
  }

  flag(field: string): boolean | undefined {
    const value = this.#get(field);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.#wrong(field, "must be true or false", value);
  }

  /** Parses an RFC 3339 time and returns Unix seconds. */
  seconds(field: string): number | undefined {
    const text = this.text(field);
    if (text === undefined) return undefined;
    const millis = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d/.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(millis)) throw this.#wrong(field, "must be an RFC 3339 time", text);
    return Math.floor(millis / 1000);
  }

  object(field: string): ObjectFields | undefined {
    const value = this.#get(field);
    return value === undefined
      ? undefined
      : new ObjectFields(this.#subject, this.#at(field), value);
  }

  objects(field: string): ObjectFields[] {
    return this.#list(field).map(
      (entry, i) => new ObjectFields(this.#subject, `${this.#at(field)}[${i}]`, entry),
    );
  }

  texts(field: string): string[] {
    return this.#list(field).map((entry, i) => {
      if (typeof entry === "string") return entry;
      throw this.#wrong(`${field}[${i}]`, "must be a string", entry);
    });
  }

  /** Reads a map of strings, such as labels. */
  entries(field: string): [string, string][] {
    const map = this.object(field);
    if (map === undefined) return [];
    return Object.keys(map.#values).map((key) => [key, map.text(key) ?? ""]);
  }

  #list(field: string): readonly unknown[] {
    const value = this.#get(field) ?? [];
    if (Array.isArray(value)) return value;
    throw this.#wrong(field, "must be a list", value);
  }

  #get(field: string): unknown {
    if (!Object.hasOwn(this.#values, field)) return undefined;
    return this.#values[field] ?? undefined;
  }

  #at(field: string): string {
    return this.#path === "" ? field : `${this.#path}.${field}`;
  }

  #wrong(field: string, rule: string, value: unknown): SluiceError {
    return invalid(this.#subject, this.#at(field), rule, value);
  }
}

function invalid(subject: string, path: string, rule: string, value: unknown): SluiceError {
  const current = JSON.stringify(value)?.slice(0, 80) ?? "undefined";
  const message = `${path === "" ? subject : `${subject}: ${path}`}: invalid value ${current}: ${rule}`;
  return new SluiceError("OBJECT_INVALID", message, subject);
}

export interface Metadata {
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion: string;
  readonly continueToken: string;
  readonly labels: JsonObject;
  readonly annotations: JsonObject;
}

/**
 * Reads metadata without validation: a field that is absent or of another type becomes "" or {}.
 */
export function metadataOf(object: JsonObject): Metadata {
  const metadata = objectAt(object, "metadata");
  return {
    namespace: stringAt(metadata, "namespace"),
    name: stringAt(metadata, "name"),
    resourceVersion: stringAt(metadata, "resourceVersion"),
    continueToken: stringAt(metadata, "continue"),
    labels: objectAt(metadata, "labels"),
    annotations: objectAt(metadata, "annotations"),
  };
}
