/** Looking into JSON of unknown shape: what is missing or of another type reads as empty, never throws. */

/** An object's member that is an object; else an empty one. */
export function objectAt(value: unknown, key: string): Readonly<Record<string, unknown>> {
  const member = memberOf(value, key);
  return typeof member === "object" && member !== null && !Array.isArray(member)
    ? (member as Record<string, unknown>)
    : {};
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
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Record<string, unknown>)[key];
}
