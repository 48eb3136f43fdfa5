/**
 * Reads JSON of unknown shape. A missing member, or one of another type, reads as empty; nothing
 * throws.
 */

/** A JSON object with members of unknown type. */
export interface JsonObject {
  readonly [name: string]: unknown;
}

/** Reports whether `value` is an object, and neither null nor a list. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Returns the member if it is an object, otherwise an empty object. */
export function objectAt(value: unknown, key: string): JsonObject {
  const member = memberOf(value, key);
  return isJsonObject(member) ? member : {};
}

/** Returns the member if it is a list, otherwise an empty list. */
export function listAt(value: unknown, key: string): readonly unknown[] {
  const member = memberOf(value, key);
  return Array.isArray(member) ? member : [];
}

/** Returns the member if it is a string, otherwise "". */
export function stringAt(value: unknown, key: string): string {
  const member = memberOf(value, key);
  return typeof member === "string" ? member : "";
}

function memberOf(value: unknown, key: string): unknown {
  return isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/**
 * Lists the paths of keys that occur more than once in their object, in text that is known to be
 * valid JSON. A path does not contain positions in lists.
 */
export function duplicateJsonKeys(text: string): string[] {
  const duplicates: string[] = [];
  const open: { seen: Set<string>; key: string }[] = [];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/gs)) {
    const scope = open.at(-1);
    if (token === "{" || token === "[") open.push({ seen: new Set(), key: "" });
    else if (token === "}" || token === "]") open.pop();
    else if (token.endsWith(":") && scope) {
      scope.key = JSON.parse(token.slice(0, -1));
      const path = open.flatMap(({ key }) => (key === "" ? [] : [key])).join(".");
      if (scope.seen.has(scope.key)) duplicates.push(path);
      scope.seen.add(scope.key);
    }
  }
  return duplicates;
}
