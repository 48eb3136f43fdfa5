/** Parses JSON bodies of the API server: lists, and watches with one event per line. */

import type { BodyReader } from "../api-client/read-request.ts";
import { messageOf, SluiceError } from "../base/errors.ts";
import { isJsonObject, type JsonObject } from "../base/json.ts";
import type { FeedResult } from "../core/core.ts";
import { metadataOf } from "../source/object-fields.ts";
import type { EventType } from "../source/watch-frames.ts";

/** The type that every object of a body must have. */
export interface ObjectType {
  readonly apiVersion: string;
  readonly kind: string;
}

/** Processes one object; returns whether anything changed. */
export type OnWatchEvent = (type: EventType, object: JsonObject) => boolean;

export const NO_CHANGE: FeedResult = { objects: false, initialEnd: false };

const INITIAL_END = "k8s.io/initial-events-end";

/** Parses a watch body: each line is an event `{"type":"ADDED","object":{…}}`. */
export class JsonWatch implements BodyReader {
  readonly #type: ObjectType;
  readonly #apply: OnWatchEvent;
  readonly #onClose: () => void;
  readonly #decoder = new TextDecoder();
  /** Start of a line that is not complete yet. */
  #rest = "";

  constructor(type: ObjectType, apply: OnWatchEvent, onClose: () => void) {
    this.#type = type;
    this.#apply = apply;
    this.#onClose = onClose;
  }

  feed(chunk: Uint8Array): FeedResult {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    let result = NO_CHANGE;
    for (const line of lines) {
      if (line.trim() !== "") result = merge(result, this.#event(parseObject(line)));
    }
    return result;
  }

  /** Drops an incomplete last line, because the watch resumes before it. */
  end(): FeedResult {
    return NO_CHANGE;
  }

  close(): void {
    this.#onClose();
  }

  #event(event: JsonObject): FeedResult {
    const { type, object: content } = event;
    const object = asObject(content);
    if (type === "ERROR") {
      const { code, message } = object;
      const status = { code: Number(code ?? 500), message: String(message ?? "") };
      return { ...NO_CHANGE, status };
    }
    checkType(object, this.#type);
    const { resourceVersion, annotations } = metadataOf(object);
    if (type === "BOOKMARK") {
      return {
        objects: false,
        initialEnd: annotations[INITIAL_END] === "true",
        resourceVersion,
      };
    }
    if (type !== "ADDED" && type !== "MODIFIED" && type !== "DELETED") {
      throw malformed(`unknown event type ${JSON.stringify(type)}`);
    }
    return { objects: this.#apply(type, object), initialEnd: false, resourceVersion };
  }
}

/** Parses a whole list, or one page of it, once its last byte has arrived. */
export class JsonList implements BodyReader {
  readonly #type: ObjectType;
  readonly #apply: OnWatchEvent;
  readonly #onClose: () => void;
  readonly #chunks: Uint8Array[] = [];

  /** @param type of the items */
  constructor(type: ObjectType, apply: OnWatchEvent, onClose: () => void) {
    this.#type = type;
    this.#apply = apply;
    this.#onClose = onClose;
  }

  feed(chunk: Uint8Array): FeedResult {
    this.#chunks.push(chunk.slice());
    return NO_CHANGE;
  }

  end(): FeedResult {
    const list = parseObject(Buffer.concat(this.#chunks).toString("utf8"));
    checkType(list, { ...this.#type, kind: `${this.#type.kind}List` });
    const { items } = list;
    const content = items ?? [];
    if (!Array.isArray(content)) throw malformed("items is not a list");
    const all = content.map(asObject);
    for (const item of all) checkType(item, this.#type);
    let objects = false;
    for (const item of all) objects = this.#apply("ADDED", item) || objects;
    const { resourceVersion, continueToken } = metadataOf(list);
    return { objects, initialEnd: false, resourceVersion, continueToken, listEnd: true };
  }

  close(): void {
    this.#onClose();
  }
}

/**
 * Rejects an object of another type, which may look like an empty list. As in client-go, an object
 * that names no type has the expected one; the items of a list name none.
 */
function checkType(object: JsonObject, expected: ObjectType): void {
  for (const field of ["kind", "apiVersion"] as const) {
    const found = object[field] ?? "";
    if (found === "" || found === expected[field]) continue;
    const { kind, apiVersion } = expected;
    throw malformed(
      `expected ${kind} of ${apiVersion}, but ${field} is ${JSON.stringify(found).slice(0, 80)}`,
    );
  }
}

function merge(before: FeedResult, next: FeedResult): FeedResult {
  return {
    ...before,
    ...next,
    objects: before.objects || next.objects,
    initialEnd: before.initialEnd || next.initialEnd,
  };
}

function parseObject(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw malformed(messageOf(thrown), thrown);
  }
  return asObject(value);
}

function asObject(value: unknown): JsonObject {
  if (isJsonObject(value)) return value;
  throw malformed(`expected an object, got ${JSON.stringify(value)?.slice(0, 40)}`);
}

function malformed(fault: string, cause?: unknown): SluiceError {
  const message = `decode JSON from the API server: ${fault}`;
  return new SluiceError("API_MALFORMED", message, undefined, { cause });
}
