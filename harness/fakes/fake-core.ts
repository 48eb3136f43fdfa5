/** A core and a transport that tests drive by hand, and the toy wire format between them. */

import type { ResponseHandler, Transport } from "../../src/api-client/transport.ts";
import { SluiceError } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";
import type { FeedResult, ObjectKind, ObjectStream } from "../../src/core/core.ts";
import { type Apply, JsonWatch, metadataOf } from "../../src/watch/json-body.ts";
import type { EncodeEvent, Ingest } from "../../src/watch/sink.ts";
import type { FakeClock } from "./fake-clock.ts";

export const PROTOBUF = "application/vnd.kubernetes.protobuf";

/** Lets everything that waits for a promise run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}

/**
 * Waits, in real time, until something is so; a fake clock is moved on meanwhile if there is one.
 * @throws after some seconds.
 */
export async function until(what: string, isSo: () => boolean, clock?: FakeClock): Promise<void> {
  const deadline = performance.now() + 4000;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await Bun.sleep(1);
    await clock?.advance(100);
  }
}

/** For callbacks that must not be called. */
export function unexpected(error: unknown): never {
  throw error;
}

/** The error an attempt ends with. @throws when it succeeds, or fails with another kind of error. */
export async function refusal(attempt: Promise<unknown>): Promise<SluiceError> {
  try {
    await attempt;
  } catch (thrown) {
    if (thrown instanceof SluiceError) return thrown;
    throw thrown;
  }
  throw new Error("an error was expected");
}

export function object(name: string, version: number, rest: JsonObject = {}): JsonObject {
  return { metadata: { namespace: "default", name, resourceVersion: String(version) }, ...rest };
}

/** A line of a watch, as the API server's JSON has it. */
export function event(type: string, content: JsonObject): string {
  return `${JSON.stringify({ type, object: content })}\n`;
}

export function bookmark(version: number, initialEnd = false): string {
  const annotations = initialEnd ? { "k8s.io/initial-events-end": "true" } : {};
  return event("BOOKMARK", { metadata: { resourceVersion: String(version), annotations } });
}

/** A list of the toy "protobuf": lines of watch events, since the fake core reads nothing else. */
export function list(version: number, objects: readonly JsonObject[], token = ""): string {
  const head = { metadata: { resourceVersion: String(version), continue: token } };
  return event("LIST", head) + objects.map((each) => event("ADDED", each)).join("");
}

/** What a manifest or JSON object becomes on its way into the fake core. */
export const encode: EncodeEvent = (_kind, type, content) => {
  const { refuse } = content;
  if (refuse === true)
    throw new SluiceError("OBJECT_INVALID", "Cannot encode: refused by the test");
  return new TextEncoder().encode(event(type, content));
};

/** Keeps objects by kind and `namespace/name`; its "protobuf" is the toy format above. */
export class FakeCore implements Ingest {
  readonly objects = new Map<string, JsonObject>();
  /** Every event and call in order: `ADDED Service default/web@3`. */
  readonly log: string[] = [];
  openStreams = 0;
  /** What the next object makes it throw. */
  broken: Error | undefined;
  #fresh = new Map<ObjectKind, Set<string>>();

  openStream(kind: ObjectKind, format: "list" | "watch"): ObjectStream {
    this.openStreams += 1;
    const apply: Apply = (type, content) => {
      if (this.broken !== undefined) throw this.broken;
      const { namespace, name, resourceVersion } = metadataOf(content);
      const key = `${kind} ${namespace}/${name}`;
      this.log.push(`${type} ${key}@${resourceVersion}`);
      if (type === "DELETED") this.objects.delete(key);
      else this.objects.set(key, content);
      this.#fresh.get(kind)?.add(key);
      return true;
    };
    return new FakeStream(apply, format, () => {
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

  /** Names of what is there, in order. */
  names(): string[] {
    return [...this.objects.keys()].map((key) => key.slice(key.indexOf("/") + 1)).sort();
  }
}

class FakeStream implements ObjectStream {
  readonly #watch: JsonWatch;
  readonly #format: "list" | "watch";
  readonly #onClose: () => void;
  #memory = new Uint8Array();
  #closed = false;

  constructor(apply: Apply, format: "list" | "watch", onClose: () => void) {
    this.#watch = new JsonWatch(apply, () => {});
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
      return this.#watch.take(this.#memory.subarray(0, bytes));
    }
    const end = text.indexOf("\n") + 1;
    const { object: head } = JSON.parse(text.slice(0, end));
    const rest = this.#watch.take(new TextEncoder().encode(text.slice(end)));
    const { resourceVersion, continueToken } = metadataOf(head);
    return { ...rest, resourceVersion, continueToken, listEnd: true };
  }

  close(): void {
    this.#closed = true;
    this.#onClose();
  }
}

/** One request the code under test has sent. */
export class FakeRequest {
  readonly url: URL;
  readonly accept: string;
  readonly #handler: ResponseHandler;
  #started = false;
  ended = false;

  constructor(path: string, accept: string, handler: ResponseHandler) {
    this.url = new URL(path, "https://api.test");
    this.accept = accept;
    this.#handler = handler;
  }

  /** A query parameter, "" when absent. */
  parameter(name: string): string {
    return this.url.searchParams.get(name) ?? "";
  }

  get isWatch(): boolean {
    return this.parameter("watch") === "true";
  }

  start(contentType = PROTOBUF): this {
    this.#begin();
    this.#handler.onStart(200, contentType, 0);
    return this;
  }

  /** Also does what the transport does with an error of its handler. */
  data(text: string): this {
    try {
      this.#handler.onData(new TextEncoder().encode(text));
    } catch (thrown) {
      this.fail(thrown instanceof SluiceError ? thrown : new SluiceError("API_UNREACHABLE", "?"));
    }
    return this;
  }

  async end(): Promise<void> {
    this.ended = true;
    this.#handler.onEnd();
    await settle();
  }

  fail(error = new SluiceError("API_UNREACHABLE", "Cannot reach https://api.test: broken")): void {
    if (this.ended) return;
    this.ended = true;
    this.#handler.onError(error);
  }

  async break(): Promise<void> {
    this.fail();
    await settle();
  }

  #begin(): void {
    if (this.#started) throw new Error("the request is answered already");
    this.#started = true;
  }

  /** Answers with an error status. */
  async refuse(code: number, message = "", retryAfterMs = 0): Promise<void> {
    this.#begin();
    this.#handler.onStart(code, "application/json", retryAfterMs);
    this.data(JSON.stringify({ kind: "Status", code, message, reason: "Test" }));
    await this.end();
  }

  /** A complete answer. */
  async answer(body: string, contentType = PROTOBUF): Promise<void> {
    this.start(contentType).data(body);
    await this.end();
  }
}

export class FakeTransport implements Transport {
  readonly requests: FakeRequest[] = [];
  closed = false;

  get(path: string, accept: string, handler: ResponseHandler): (reason: SluiceError) => void {
    const request = new FakeRequest(path, accept, handler);
    this.requests.push(request);
    return (reason) => request.fail(reason);
  }

  close(): void {
    this.closed = true;
  }

  /** The request that waits for an answer. */
  get last(): FakeRequest {
    const request = this.requests.at(-1);
    if (request === undefined || request.ended) throw new Error("no request is waiting");
    return request;
  }
}
