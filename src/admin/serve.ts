/**
 * Binds an app to an address. If the address is in use, it retries, because the previous process
 * may still be ending.
 */
import type { Clock } from "../base/clock.ts";
import { messageOf, SluiceError, withHint } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";

/** Interval between attempts to bind an address that is in use, in ms, as in kube-proxy. */
export const LISTEN_RETRY_MS = 5000;
/** Ends the message of the problem. */
export const RETRY_HINT = `retrying every ${LISTEN_RETRY_MS / 1000} s`;

export interface ListenOptions {
  /** The name of the server for the log: `health`, `metrics`. */
  readonly name: string;
  /** The configuration field of the address, for the problem. */
  readonly field: string;
  readonly hostname: string;
  readonly port: number;
  readonly fetch: (request: Request) => Response | Promise<Response>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Receives the problem while the address cannot be bound, and its end. */
  readonly problems: ReportProblems;
  /**
   * Called once when the address cannot be bound. Return true to give up; otherwise it is retried.
   */
  readonly onFailed: (error: unknown) => boolean;
}

/** An address that is served, or will be once it is free. */
export interface HttpListener {
  /** Returns the bound port; undefined if none is bound. */
  port(): number | undefined;
  /** Stops listening and aborts open requests. */
  close(): Promise<void>;
}

/** Listens now or later. Never throws. */
export function listenWithRetry(options: ListenOptions): HttpListener {
  const { name, hostname, clock } = options;
  const log = options.log.from("serve.ts");
  const about = {
    subject: printHostPort(hostname, options.port),
    code: "LISTEN_FAILED",
    field: options.field,
  } as const;
  let server: Bun.Server<undefined> | undefined;
  let cancel = () => {};
  const problems = new ProblemSet(options.problems);
  const attempt = () => {
    try {
      server = bindServer(hostname, options.port, options.fetch);
    } catch (error) {
      if (problems.size === 0) {
        const givesUp = options.onFailed(error);
        const message = messageOf(error);
        problems.begin({ ...about, message: givesUp ? message : withHint(message, RETRY_HINT) });
        if (givesUp) return;
      }
      cancel = clock.after(LISTEN_RETRY_MS, attempt);
      return;
    }
    const fields = { server: name, address: printHostPort(hostname, server.port ?? 0) };
    if (problems.size > 0) log.info("Listening", fields);
    else log.debug(1, "Listening", fields);
    problems.set([]);
  };
  attempt();
  return {
    port: () => server?.port,
    async close() {
      cancel();
      problems.set([]);
      await server?.stop(true);
    },
  };
}

/**
 * Tries once to serve on one address, without sharing the port with another process.
 * @throws SluiceError LISTEN_FAILED naming the address
 */
export function bindServer(
  hostname: string,
  port: number,
  fetch: (request: Request) => Response | Promise<Response>,
): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname,
      port,
      fetch: (request) => fetch(withHost(request)),
      development: false,
      // By default, Bun shares a port between processes. A second proxy would then receive half of
      // the probes, and the conflict would stay unnoticed.
      reusePort: false,
      // The longest body accepted here is a number.
      maxRequestBodySize: 1024,
    });
  } catch (error) {
    const address = printHostPort(hostname, port);
    const message = `listen ${address}: ${listenCause(error)}`;
    throw new SluiceError("LISTEN_FAILED", message, address, { cause: error });
  }
}

/** The usual causes, in Go's words. */
const LISTEN_CAUSES = new Map<unknown, string>([
  ["EADDRINUSE", "address already in use"],
  ["EADDRNOTAVAIL", "cannot assign requested address (this node does not have it)"],
]);

function listenCause(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return LISTEN_CAUSES.get(code) ?? messageOf(error);
}

function printHostPort(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/**
 * Adds a host to the URL. HTTP/1.0 requests, such as simple load balancer probes, have no Host
 * header. Their URL is then only a path, which no router accepts.
 */
function withHost(request: Request): Request {
  const { url } = request;
  return url.startsWith("/") ? new Request(`http://localhost${url}`, request) : request;
}
