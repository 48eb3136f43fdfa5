/** Builds objects and lines of a watch, in the JSON that an API server sends. */
import type { JsonObject } from "../../src/base/json.ts";

/** An object of the namespace `default`; `rest` holds its fields other than metadata. */
export function object(name: string, version: number, rest: JsonObject = {}): JsonObject {
  return { metadata: { namespace: "default", name, resourceVersion: String(version) }, ...rest };
}

/** One line of a watch. */
export function event(type: string, content: JsonObject): string {
  return `${JSON.stringify({ type, object: content })}\n`;
}

export function bookmark(version: number, initialEnd = false): string {
  const annotations = initialEnd ? { "k8s.io/initial-events-end": "true" } : {};
  return event("BOOKMARK", { metadata: { resourceVersion: String(version), annotations } });
}
