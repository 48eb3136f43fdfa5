/**
 * Opens one connection to the API server and sends one request at a time on it. Each reflector has
 * its own connection, so a long watch never blocks another resource.
 */
import Client from "undici/lib/dispatcher/client.js";
import type Dispatcher from "undici/types/dispatcher";
import { systemClock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { RETRY_AFTER_MS_MAX } from "../base/limits.ts";
import type { ClusterAccess, Identity, TlsMaterial } from "./access.ts";
import { createConnector, forwardsRequests } from "./connect.ts";
import { unreachable } from "./connection-error.ts";
import { MeteredRequest } from "./request-meter.ts";
import { systemRoots } from "./system-roots.ts";

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
  /** Counts the connections that were opened. */
  readonly connections: number;
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
  const { server, proxy } = access;
  const base = new URL(server);
  const forwarded =
    proxy !== undefined && forwardsRequests(proxy, base.protocol === "https:") ? proxy : undefined;
  // A proxy needs the whole URL.
  const prefix = forwarded === undefined ? base.pathname.replace(/^\/$/, "") : server;
  let connection: Connection | undefined;
  let connections = 0;

  const connect = (tls: TlsMaterial): Connection => {
    if (connection !== undefined && sameMaterial(connection.tls, tls)) return connection;
    void connection?.client.destroy();
    const client = new Client(base.origin, {
      allowH2: false,
      // The reflector enforces timeouts with its own clock.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: createConnector(tls, proxy),
    });
    const opened: Connection = { tls, client, answers: 0 };
    client.on("connect", () => {
      connections += 1;
      opened.answers = 0;
    });
    connection = opened;
    return opened;
  };

  const dispatch = (
    what: { readonly method: string; readonly path: string; readonly body?: string },
    headers: { readonly [name: string]: string },
    handler: ResponseHandler,
  ) => {
    const request = new Request(access, what, handler);
    identify(access).then(
      ({ authorization, tls }) => {
        if (request.done) return;
        const all = {
          ...headers,
          "user-agent": access.userAgent ?? "sluice",
          ...header("authorization", authorization),
          ...header("proxy-authorization", forwarded?.authorization ?? ""),
        };
        request.send({ authorization, tls }, connect(tls), {
          ...what,
          path: prefix + what.path,
          headers: all,
        });
      },
      (thrown: unknown) => request.fail(thrown),
    );
    return (reason: SluiceError) => request.abort(reason);
  };

  return {
    get connections() {
      return connections;
    },
    get: (path, accept, handler) => dispatch({ method: "GET", path }, { accept }, handler),
    send({ method, path, contentType, body }, handler) {
      const headers = { accept: "application/json", "content-type": contentType };
      return dispatch({ method, path, body }, headers, handler);
    },
    close() {
      void connection?.client.destroy();
      connection = undefined;
    },
  };
}

/** Returns the identity, with the authorities of the system unless there are others. */
async function identify({ server, environment, identity }: ClusterAccess): Promise<Identity> {
  const current = await identity();
  const { tls } = current;
  const isChecked = server.startsWith("https:") && !tls.insecure;
  if (tls.ca !== undefined || !isChecked || environment === undefined) return current;
  const ca = systemRoots(environment);
  return ca === undefined ? current : { ...current, tls: { ...tls, ca } };
}

/** One connection at a time to the server; undici opens it again after it was lost. */
interface Connection {
  readonly tls: TlsMaterial;
  readonly client: Client;
  /** Number of requests that the server has answered since the connection was opened. */
  answers: number;
}

/** Omits an empty header. */
function header(name: string, value: string): { readonly [name: string]: string } {
  return value === "" ? {} : { [name]: value };
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
  readonly #access: ClusterAccess;
  readonly #handler: ResponseHandler;
  readonly #metered: MeteredRequest | undefined;
  #sent:
    | {
        readonly identity: Identity;
        readonly connection: Connection;
        readonly options: Dispatcher.DispatchOptions;
      }
    | undefined;
  #controller: Controller | undefined;
  /** True if the server may have closed the connection before it saw this request. */
  #reusesConnection = false;
  #started = false;
  done = false;

  constructor(
    access: ClusterAccess,
    what: { readonly method: string; readonly path: string },
    handler: ResponseHandler,
  ) {
    const { server, meter } = access;
    this.#access = access;
    this.#handler = handler;
    this.#metered = meter && new MeteredRequest(meter, server, what);
  }

  send(identity: Identity, connection: Connection, options: Dispatcher.DispatchOptions): void {
    this.#sent = { identity, connection, options };
    connection.client.dispatch(options, this);
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
      thrown instanceof SluiceError ? thrown : unreachable(this.#access.server, thrown),
    );
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
    this.#reusesConnection = (this.#sent?.connection.answers ?? 0) > 0;
  }

  onResponseStart(controller: Controller, status: number, headers: Headers): void {
    if (this.done) return;
    this.#started = true;
    this.#metered?.answered(status);
    if (status === 401 && this.#sent) this.#access.credentialsRefused(this.#sent.identity);
    const { location } = headers;
    if (status >= 300 && status < 400 && location !== undefined) {
      this.fail(redirected(this.#access.server, status, String(location)));
      controller.abort(new Error("redirected"));
      return;
    }
    this.#runSafely(() =>
      this.#handler.onStart(
        status,
        String(headers["content-type"] ?? ""),
        retryAfterMs(String(headers["retry-after"] ?? "")),
      ),
    );
  }

  onResponseData(_controller: Controller, chunk: Uint8Array): void {
    if (!this.done) this.#runSafely(() => this.#handler.onData(chunk));
  }

  onResponseEnd(): void {
    if (this.#sent !== undefined) this.#sent.connection.answers += 1;
    if (this.done) return;
    this.done = true;
    this.#metered?.completed();
    this.#handler.onEnd();
  }

  onResponseError(_controller: Controller, error: Error): void {
    if (!this.#sendAgain()) this.fail(error);
  }

  /**
   * As Go's net/http does, repeats a GET on a new connection if a connection that had served before
   * broke without an answer. The server closed it while the request was on its way.
   */
  #sendAgain(): boolean {
    const sent = this.#sent;
    if (sent === undefined || this.done || this.#started || !this.#reusesConnection) return false;
    const { connection, options } = sent;
    if (options.method !== "GET" || connection.client.destroyed) return false;
    this.#reusesConnection = false;
    this.#controller = undefined;
    // undici still cleans up the lost connection.
    queueMicrotask(() => {
      if (!this.done) connection.client.dispatch(options, this);
    });
    return true;
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

/** Reads a Retry-After in seconds or as a date. 0 if it is absent, invalid or past. */
function retryAfterMs(text: string): number {
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - systemClock.now();
  return ms > 0 ? Math.min(ms, RETRY_AFTER_MS_MAX) : 0;
}

/** The API never redirects. To follow would send our credentials to another server. */
function redirected(server: string, status: number, location: string): SluiceError {
  const url = URL.parse(location, server);
  const to = url === null ? "another address" : `${url.origin}${url.pathname}`;
  return new SluiceError(
    "API_STATUS",
    `request to ${server}: ${status}: the server redirects to ${to} (Sluice does not follow; set the address of the API server itself)`,
    server,
  );
}
