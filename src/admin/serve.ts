/**
 * Binds an app to an address. If the address is in use, it retries, because the previous process
 * may still be ending.
 */
import type { Clock } from "../base/clock.ts";
import { messageOf, withHint } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import type { ClientConnections } from "./client-connections.ts";
import { type Answer, bindServer, type HttpServer, printHostPort } from "./http-server.ts";

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
  readonly fetch: Answer;
  readonly connections: ClientConnections;
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
  /** Resolves after the first attempt to bind the address. */
  readonly attempted: Promise<void>;
  /** Returns the bound port; undefined if none is bound. */
  port(): number | undefined;
  /** Stops listening and aborts open requests. */
  close(): Promise<void>;
}

/** Listens now or later. Never throws. */
export function listenWithRetry(options: ListenOptions): HttpListener {
  const { name, hostname, clock, connections } = options;
  const log = options.log.from("serve.ts");
  const about = {
    subject: printHostPort(hostname, options.port),
    code: "LISTEN_FAILED",
    field: options.field,
  } as const;
  let server: HttpServer | undefined;
  let closed = false;
  let cancel = () => {};
  const problems = new ProblemSet(options.problems);
  const attempt = async () => {
    try {
      server = await bindServer(hostname, options.port, options.fetch, connections);
    } catch (error) {
      if (!closed) failed(error);
      return;
    }
    if (closed) return;
    const fields = { server: name, address: printHostPort(hostname, server.port) };
    if (problems.size > 0) log.info("Listening", fields);
    else log.debug(1, "Listening", fields);
    problems.set([]);
  };
  const failed = (error: unknown) => {
    if (problems.size === 0) {
      const givesUp = options.onFailed(error);
      const message = messageOf(error);
      problems.begin({ ...about, message: givesUp ? message : withHint(message, RETRY_HINT) });
      if (givesUp) return;
    }
    cancel = clock.after(LISTEN_RETRY_MS, () => {
      running = attempt();
    });
  };
  let running = attempt();
  return {
    attempted: running,
    port: () => server?.port,
    async close() {
      closed = true;
      cancel();
      problems.set([]);
      await running;
      await server?.close();
    },
  };
}
