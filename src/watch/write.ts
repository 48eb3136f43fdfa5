/** One request that writes to the API server, as a promise. What the server makes of the object is not read. */
import type { Clock } from "../clock.ts";
import { SluiceError } from "../errors.ts";
import { readStatus, statusError } from "./status.ts";
import type { WritableTransport, WriteRequest } from "./transport.ts";

export interface WriteOptions {
  readonly transport: WritableTransport;
  readonly clock: Clock;
  /** For messages: `create Event default/here.17`. */
  readonly what: string;
  readonly server: string;
  readonly request: WriteRequest;
  /** The answer must be there after so long. */
  readonly timeoutMs: number;
}

export interface Write {
  /** @throws SluiceError API_UNREACHABLE, API_STATUS, API_GONE, KUBECONFIG_INVALID */
  readonly done: Promise<void>;
  abort(reason: SluiceError): void;
}

const ERROR_BODY_MAX = 65_536;

export function write(options: WriteOptions): Write {
  const { transport, clock, what, server, timeoutMs } = options;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const chunks: Uint8Array[] = [];
  let code = 0;
  let retryAfter = 0;
  let bytes = 0;
  const cancel = clock.after(timeoutMs, () => {
    const rule = `the server must answer within ${timeoutMs / 1000} s`;
    abort(new SluiceError("API_UNREACHABLE", `Cannot ${what}: ${rule}`, server));
  });
  const abort = transport.send(options.request, {
    onStart(status, _contentType, retryAfterMs) {
      code = status;
      retryAfter = retryAfterMs;
    },
    onData(chunk) {
      bytes += chunk.length;
      if (code >= 300 && bytes <= ERROR_BODY_MAX) chunks.push(chunk.slice());
    },
    onEnd() {
      cancel();
      if (code < 300) resolve();
      else reject(statusError(what, server, readStatus(code, retryAfter, Buffer.concat(chunks))));
    },
    onError(error) {
      cancel();
      reject(error);
    },
  });
  return { done: promise, abort };
}
