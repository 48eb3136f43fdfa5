/**
 * Opens one connection to the API server and sends one request at a time on it. Each reflector has
 * its own connection, so a long watch never blocks another resource.
 */
import Client from "undici/lib/dispatcher/client.js";
import { messageOf, SluiceError } from "../base/errors.ts";
import { CONNECT_TIMEOUT_MS, KEEPALIVE_DELAY_MS, RETRY_AFTER_MS_MAX } from "../base/limits.ts";
import type { ClusterAccess, TlsMaterial } from "./access.ts";
import { MeteredRequest } from "./request-meter.ts";

/**
 * Receives the events of one request: `onStart` and `onData` if it is answered, then exactly one of
 * `onEnd` and `onError`.
 */
export interface ResponseHandler {
  /** `retryAfterMs` is the server's Retry-After, at most RETRY_AFTER_MS_MAX, and 0 if absent. */
  onStart(status: number, contentType: string, retryAfterMs: number): void;
  /** The bytes are valid only during the call. An exception ends the request with that error. */
  onData(chunk: Uint8Array): void;
  onEnd(): void;
  onError(error: SluiceError): void;
}

export interface Transport {
  /** Sends a GET. Call the result to end it early; `onError` then receives the given reason. */
  get(path: string, accept: string, handler: ResponseHandler): (reason: SluiceError) => void;
  /** Closes the connection; a pending request fails. */
  close(): void;
}

export interface WriteRequest {
  readonly method: "POST" | "PATCH";
  readonly path: string;
  readonly contentType: string;
  readonly body: string;
}

export interface WritableTransport extends Transport {
  /** Sends a body. The answer is JSON. Call the result to end it early, as with `get`. */
  send(request: WriteRequest, handler: ResponseHandler): (reason: SluiceError) => void;
}

/** Speaks HTTP/1.1 through undici's dispatch, which delivers each chunk as it arrives. */
export function openTransport(access: ClusterAccess): WritableTransport {
  let client: Client | undefined;
  let material: TlsMaterial | undefined;
  const base = new URL(access.server);
  const prefix = base.pathname === "/" ? "" : base.pathname;

  const connected = (tls: TlsMaterial): Client => {
    if (client !== undefined && material !== undefined && sameMaterial(material, tls))
      return client;
    void client?.destroy();
    material = tls;
    client = new Client(base.origin, {
      allowH2: false,
      // The reflector enforces timeouts with its own clock.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: {
        timeout: CONNECT_TIMEOUT_MS,
        keepAliveInitialDelay: KEEPALIVE_DELAY_MS,
        rejectUnauthorized: !tls.insecure,
        ...(tls.ca === undefined ? {} : { ca: tls.ca }),
        ...(tls.cert === undefined ? {} : { cert: tls.cert }),
        ...(tls.key === undefined ? {} : { key: tls.key }),
        ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
      },
    });
    return client;
  };

  const dispatch = (
    what: { readonly method: string; readonly path: string; readonly body?: string },
    headers: { readonly [name: string]: string },
    handler: ResponseHandler,
  ) => {
    const request = new Request(access, what, handler);
    access.identity().then(
      ({ authorization, tls }) => {
        if (request.done) return;
        const all = { ...headers, "user-agent": "sluice", ...bearer(authorization) };
        connected(tls).dispatch({ ...what, path: prefix + what.path, headers: all }, request);
      },
      (thrown: unknown) => request.fail(thrown),
    );
    return (reason: SluiceError) => request.abort(reason);
  };

  return {
    get: (path, accept, handler) => dispatch({ method: "GET", path }, { accept }, handler),
    send({ method, path, contentType, body }, handler) {
      const headers = { accept: "application/json", "content-type": contentType };
      return dispatch({ method, path, body }, headers, handler);
    },
    close() {
      void client?.destroy();
      client = undefined;
    },
  };
}

function bearer(authorization: string): { readonly authorization?: string } {
  return authorization === "" ? {} : { authorization };
}

function sameMaterial(a: TlsMaterial, b: TlsMaterial): boolean {
  return (
    a.ca === b.ca &&
    a.cert === b.cert &&
    a.key === b.key &&
    a.serverName === b.serverName &&
    a.insecure === b.insecure
  );
}

interface Controller {
  abort(reason: Error): void;
}
type Headers = { readonly [name: string]: string | string[] | undefined };

/** Adapts undici's dispatch handler to ours: maps errors, and passes on exactly one ending. */
class Request {
  readonly #server: string;
  readonly #handler: ResponseHandler;
  readonly #metered: MeteredRequest | undefined;
  #controller: Controller | undefined;
  done = false;

  constructor(
    { server, meter }: ClusterAccess,
    what: { readonly method: string; readonly path: string },
    handler: ResponseHandler,
  ) {
    this.#server = server;
    this.#handler = handler;
    this.#metered = meter && new MeteredRequest(meter, server, what);
  }

  abort(reason: SluiceError): void {
    this.fail(reason);
    this.#controller?.abort(reason);
  }

  fail(thrown: unknown): void {
    if (this.done) return;
    this.done = true;
    this.#metered?.failed();
    this.#handler.onError(
      thrown instanceof SluiceError ? thrown : unreachable(this.#server, thrown),
    );
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
  }

  onResponseStart(_controller: Controller, status: number, headers: Headers): void {
    if (this.done) return;
    this.#metered?.answered(status);
    const retryAfter = Number(headers["retry-after"] ?? 0);
    this.#runSafely(() =>
      this.#handler.onStart(
        status,
        String(headers["content-type"] ?? ""),
        Number.isFinite(retryAfter) ? Math.min(retryAfter * 1000, RETRY_AFTER_MS_MAX) : 0,
      ),
    );
  }

  onResponseData(_controller: Controller, chunk: Uint8Array): void {
    if (!this.done) this.#runSafely(() => this.#handler.onData(chunk));
  }

  onResponseEnd(): void {
    if (this.done) return;
    this.done = true;
    this.#metered?.completed();
    this.#handler.onEnd();
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.fail(error);
  }

  /** Catches exceptions, because undici would treat one from a handler as a broken connection. */
  #runSafely(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.fail(thrown);
      this.#controller?.abort(new Error("response rejected", { cause: thrown }));
    }
  }
}

/** Error codes of a TLS failure: the server is reachable, but one side rejected the other. */
const TLS_CODE =
  /^(ERR_TLS_|ERR_SSL_|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO)/;

/** Causes for which undici has only a name, in the words of strerror(3). */
const CAUSES: Readonly<Record<string, string>> = {
  EAI_AGAIN: "temporary failure in name resolution",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ENOTFOUND: "no such host",
  ETIMEDOUT: "connection timed out",
};

function unreachable(server: string, thrown: unknown): SluiceError {
  const code = codeOf(thrown);
  const reason = CAUSES[code] ?? (messageOf(thrown) || "connection closed");
  const detail = code === "" || reason.includes(code) ? reason : `${reason} (${code})`;
  const cause = `${operationOf(thrown, code)}${detail}`;
  return new SluiceError("API_UNREACHABLE", `request to ${server}: ${cause}`, server, {
    cause: thrown,
  });
}

/** Names the step that failed before the request was sent. */
function operationOf(thrown: unknown, code: string): string {
  if (TLS_CODE.test(code)) return "TLS handshake failed: ";
  const isLookup = thrown instanceof Error && "hostname" in thrown && "syscall" in thrown;
  return isLookup && thrown.syscall === "getaddrinfo" ? `lookup ${thrown.hostname}: ` : "";
}

function codeOf(thrown: unknown): string {
  return typeof thrown === "object" && thrown !== null && "code" in thrown
    ? String(thrown.code)
    : "";
}
