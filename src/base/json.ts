/** Looking into JSON of unknown shape: what is missing or of another type reads as empty, never throws. */

/** An object as JSON has it; nothing about its members is certain. */
export interface JsonObject {
  readonly [name: string]: unknown;
}

/** Neither null nor a list. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An object's member that is an object; else an empty one. */
export function objectAt(value: unknown, key: string): JsonObject {
  const member = memberOf(value, key);
  return isObject(member) ? member : {};
}

/** An object's member that is a list; else an empty one. */
export function listAt(value: unknown, key: string): readonly unknown[] {
  const member = memberOf(value, key);
  return Array.isArray(member) ? member : [];
}

/** An object's member that is text; else "". */
export function textAt(value: unknown, key: string): string {
  const member = memberOf(value, key);
  return typeof member === "string" ? member : "";
}

function memberOf(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}
