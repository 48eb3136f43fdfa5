/**
 * Provides a core that keeps objects unchanged, and the simple format that it reads instead of
 * protobuf.
 */
import { SluiceError } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";
import type { FeedResult, ObjectKind, ObjectStream } from "../../src/core/core.ts";
import { metadataOf } from "../../src/source/object-fields.ts";
import type { EncodeEvent, ObjectStore } from "../../src/source/watch-frames.ts";
import { JsonWatch, type ObjectType, type OnWatchEvent } from "../../src/watch/json-body.ts";
import { event } from "./watch-lines.ts";

/**
 * Encodes a list in the toy format: a line with its metadata, then a watch line for each object.
 */
export function list(version: number, objects: readonly JsonObject[], token = ""): string {
  const head = { metadata: { resourceVersion: String(version), continue: token } };
  return event("LIST", head) + objects.map((each) => event("ADDED", each)).join("");
}

/** Encodes a manifest or JSON object for the fake core. */
export const encode: EncodeEvent = (_kind, type, content) => {
  const { refuse } = content;
  if (refuse === true)
    throw new SluiceError("OBJECT_INVALID", "encode object: refused by the test");
  return new TextEncoder().encode(event(type, content));
};

/** Keeps objects by kind and `namespace/name`. */
export class FakeCore implements ObjectStore {
  readonly objects = new Map<string, JsonObject>();
  /** Every event and call in order: `ADDED Service default/web@3`. */
  readonly log: string[] = [];
  openStreams = 0;
  /** The error that the next object causes. */
  broken: Error | undefined;
  #fresh = new Map<ObjectKind, Set<string>>();

  openStream(kind: ObjectKind, format: "list" | "watch"): ObjectStream {
    this.openStreams += 1;
    const apply: OnWatchEvent = (type, content) => {
      if (this.broken !== undefined) throw this.broken;
      const { namespace, name, resourceVersion } = metadataOf(content);
      const key = `${kind} ${namespace}/${name}`;
      this.log.push(`${type} ${key}@${resourceVersion}`);
      if (type === "DELETED") this.objects.delete(key);
      else this.objects.set(key, content);
      this.#fresh.get(kind)?.add(key);
      return true;
    };
    return new FakeStream(TYPES[kind], apply, format, () => {
      this.openStreams -= 1;
    });
  }

  beginReplace(kind: ObjectKind): void {
    this.#fresh.set(kind, new Set());
  }

  endReplace(kind: ObjectKind): void {
    const fresh = this.#fresh.get(kind);
    for (const key of this.objects.keys()) {
      if (key.startsWith(`${kind} `) && fresh?.has(key) === false) this.objects.delete(key);
    }
    this.#fresh.delete(kind);
  }

  /** Names of the stored objects, in order. */
  names(): string[] {
    return [...this.objects.keys()].map((key) => key.slice(key.indexOf("/") + 1)).sort();
  }
}

const TYPES: { readonly [kind in ObjectKind]: ObjectType } = {
  Service: { kind: "Service", apiVersion: "v1" },
  EndpointSlice: { kind: "EndpointSlice", apiVersion: "discovery.k8s.io/v1" },
};

class FakeStream implements ObjectStream {
  readonly #watch: JsonWatch;
  readonly #format: "list" | "watch";
  readonly #onClose: () => void;
  #memory = new Uint8Array();
  #closed = false;

  constructor(
    type: ObjectType,
    apply: OnWatchEvent,
    format: "list" | "watch",
    onClose: () => void,
  ) {
    this.#watch = new JsonWatch(type, apply, () => {});
    this.#format = format;
    this.#onClose = onClose;
  }

  reserve(bytes: number): Uint8Array {
    if (this.#closed) throw new Error("the stream is closed");
    this.#memory = new Uint8Array(bytes);
    return this.#memory;
  }

  feed(bytes: number): FeedResult {
    const text = new TextDecoder().decode(this.#memory.subarray(0, bytes));
    if (this.#format === "watch" || !text.startsWith('{"type":"LIST"')) {
      return this.#watch.feed(this.#memory.subarray(0, bytes));
    }
    const end = text.indexOf("\n") + 1;
    const { object: head } = JSON.parse(text.slice(0, end));
    const rest = this.#watch.feed(new TextEncoder().encode(text.slice(end)));
    const { resourceVersion, continueToken } = metadataOf(head);
    return { ...rest, resourceVersion, continueToken, listEnd: true };
  }

  close(): void {
    this.#closed = true;
    this.#onClose();
  }
}
