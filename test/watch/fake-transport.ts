/** A transport with requests that the test answers by hand. */
import { flushPromises } from "../../harness/waiting.ts";
import type { ResponseHandler, Transport } from "../../src/api-client/transport.ts";
import { SluiceError } from "../../src/base/errors.ts";

const PROTOBUF = "application/vnd.kubernetes.protobuf";

/** One request that the code under test has sent. */
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

  /** A query parameter; "" if missing. */
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

  /** Also handles an error of its handler as the transport does. */
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
    await flushPromises();
  }

  fail(error = new SluiceError("API_UNREACHABLE", "request to https://api.test: broken")): void {
    if (this.ended) return;
    this.ended = true;
    this.#handler.onError(error);
  }

  async break(): Promise<void> {
    this.fail();
    await flushPromises();
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
  connections = 1;
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
