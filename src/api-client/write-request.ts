/**
 * Sends one request that writes to the API server and exposes it as a promise. The object in the
 * answer is not read.
 */
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { ErrorBodyReader } from "./status.ts";
import type { WritableTransport, WriteRequest } from "./transport.ts";

export interface WriteRequestOptions {
  readonly transport: WritableTransport;
  readonly clock: Clock;
  /** Used in messages: `create Event default/here.17`. */
  readonly what: string;
  readonly server: string;
  readonly request: WriteRequest;
  /** Maximum time until the answer is complete. */
  readonly timeoutMs: number;
}

export interface PendingWrite {
  /** @throws SluiceError API_UNREACHABLE, API_STATUS, API_GONE, KUBECONFIG_INVALID */
  readonly done: Promise<void>;
  abort(reason: SluiceError): void;
}

export function sendWrite(options: WriteRequestOptions): PendingWrite {
  const { transport, clock, what, server, timeoutMs } = options;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let failure: ErrorBodyReader | undefined;
  const cancel = clock.after(timeoutMs, () => {
    const message = `${what}: no answer from the server within ${timeoutMs / 1000} s`;
    abort(new SluiceError("API_UNREACHABLE", message, server));
  });
  const abort = transport.send(options.request, {
    onStart(code, _contentType, retryAfterMs) {
      if (code >= 300) failure = new ErrorBodyReader(code, retryAfterMs);
    },
    onData(chunk) {
      failure?.feed(chunk);
    },
    onEnd() {
      cancel();
      if (failure === undefined) resolve();
      else reject(failure.error(what, server));
    },
    onError(error) {
      cancel();
      reject(error);
    },
  });
  return { done: promise, abort };
}
