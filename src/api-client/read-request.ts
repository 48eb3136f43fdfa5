/**
 * Sends one GET and exposes its answer as a promise. Gives up an answer that stays silent for too
 * long.
 */
import type { Clock } from "../base/clock.ts";
import { isDefect, SluiceError } from "../base/errors.ts";
import type { FeedResult } from "../core/core.ts";
import { ErrorBodyReader } from "./status.ts";
import type { Transport } from "./transport.ts";

/** Consumes one HTTP body. */
export interface BodyReader {
  /** @throws SluiceError API_MALFORMED, CORE_MEMORY */
  feed(chunk: Uint8Array): FeedResult;
  /** The body is complete. */
  end(): FeedResult;
  close(): void;
}

export interface ReadRequestOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  /** Used in messages: `list services`. */
  readonly what: string;
  readonly server: string;
  readonly path: string;
  readonly accept: string;
  /** The connection counts as dead after this long without a byte. */
  readonly silenceMs: number;
  /** Called when the answer is 200; returns the consumer of its bytes. */
  open(encoding: "protobuf" | "json"): BodyReader;
  /** Called after each chunk. An exception ends the exchange. */
  onFeed(result: FeedResult): void;
}

export interface PendingRead {
  /**
   * "end" if the server completed the body, "silent" if the silence timer ended it.
   * @throws SluiceError API_UNREACHABLE, API_STATUS, API_GONE, API_MALFORMED, CORE_MEMORY,
   *   CORE_ABORT, KUBECONFIG_INVALID
   */
  readonly done: Promise<"end" | "silent">;
  abort(reason: SluiceError): void;
}

const PROTOBUF = "application/vnd.kubernetes.protobuf";

/**
 * Builds the Accept header. The server uses the first type it supports and names it in
 * Content-Type.
 */
export function acceptHeader(format: "list" | "watch", protobuf: boolean): string {
  if (!protobuf) return "application/json";
  return format === "list"
    ? `${PROTOBUF}, application/json`
    : `${PROTOBUF};stream=watch, application/json`;
}

export function sendRead(options: ReadRequestOptions): PendingRead {
  const { transport, clock, silenceMs } = options;
  const { promise, resolve, reject } = Promise.withResolvers<"end" | "silent">();
  const silent = new SluiceError(
    "API_UNREACHABLE",
    `${options.what}: no data from the server for ${silenceMs / 1000} s`,
    options.server,
  );
  let body: BodyReader | undefined;
  let failure: ErrorBodyReader | undefined;
  /** Exception thrown by our own code while it read the answer. */
  let ownFailure: { readonly thrown: unknown } | undefined;
  const silence = new SilenceTimer(clock, silenceMs, () => abort(silent));

  const cleanUp = () => {
    silence.stop();
    // A core that aborted must not be called again.
    if (ownFailure === undefined || !isDefect(ownFailure.thrown)) body?.close();
  };
  const tryRead = (read: () => void) => {
    silence.dataReceived();
    try {
      read();
    } catch (thrown) {
      ownFailure = { thrown };
      throw thrown;
    }
  };
  const finish = () => {
    if (failure === undefined) return resolve("end");
    reject(failure.error(options.what, options.server));
  };

  const abort = transport.get(options.path, options.accept, {
    onStart(code, contentType, retryAfterMs) {
      tryRead(() => {
        if (code !== 200) failure = new ErrorBodyReader(code, retryAfterMs);
        else body = options.open(contentType.startsWith(PROTOBUF) ? "protobuf" : "json");
      });
    },
    onData(chunk) {
      tryRead(() => {
        if (body !== undefined) options.onFeed(body.feed(chunk));
        else failure?.feed(chunk);
      });
    },
    onEnd() {
      try {
        if (body !== undefined) options.onFeed(body.end());
        finish();
      } catch (thrown) {
        ownFailure = { thrown };
        reject(thrown);
      } finally {
        cleanUp();
      }
    },
    onError(error) {
      cleanUp();
      if (error === silent) resolve("silent");
      else reject(ownFailure === undefined ? error : ownFailure.thrown);
    },
  });
  return { done: promise, abort };
}

/** Calls back once after `silenceMs` without data. It starts running at once. */
class SilenceTimer {
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #onSilent: () => void;
  #lastDataAt: number;
  #cancel = () => {};

  constructor(clock: Clock, silenceMs: number, onSilent: () => void) {
    this.#clock = clock;
    this.#silenceMs = silenceMs;
    this.#onSilent = onSilent;
    this.#lastDataAt = clock.monotonic();
    this.#wait(silenceMs);
  }

  dataReceived(): void {
    this.#lastDataAt = this.#clock.monotonic();
  }

  stop(): void {
    this.#cancel();
  }

  /**
   * Uses one timer for many chunks: when it fires, it waits for the time left since the last chunk.
   */
  #wait(ms: number): void {
    this.#cancel = this.#clock.after(ms, () => {
      const quiet = this.#clock.monotonic() - this.#lastDataAt;
      if (quiet >= this.#silenceMs) this.#onSilent();
      else this.#wait(this.#silenceMs - quiet);
    });
  }
}
