/** Binds an app to an address. An address that is taken is tried again: the process before us may still end. */
import type { Clock } from "../base/clock.ts";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { TellProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";

/** An address that is taken is tried again after so long, as upstream. */
export const RETRY_MS = 5000;

export interface ListenOptions {
  /** What is served, for the log: `health`, `metrics`. */
  readonly name: string;
  /** The field of the configuration that names the address, for the problem. */
  readonly field: string;
  readonly hostname: string;
  readonly port: number;
  readonly fetch: (request: Request) => Response | Promise<Response>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told when the address cannot be bound, and when that is over. */
  readonly problems: TellProblems;
  /** The address cannot be bound: called once until it can. True gives it up; otherwise it is tried again. */
  readonly onFailed: (error: unknown) => boolean;
}

/** An address that is served, or will be once it is free. */
export interface Listener {
  /** The bound port; undefined while there is none. */
  port(): number | undefined;
  /** Stops listening and ends open requests. */
  close(): Promise<void>;
}

/** Listens, now or later; never throws. */
export function listen(options: ListenOptions): Listener {
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
      server = bind(hostname, options.port, options.fetch);
    } catch (error) {
      if (problems.size === 0) {
        problems.begin({ ...about, message: messageOf(error) });
        if (options.onFailed(error)) return;
        log.error("Could not listen, and try again every 5 s", error, { server: name });
      }
      cancel = clock.after(RETRY_MS, attempt);
      return;
    }
    const fields = { server: name, address: printHostPort(hostname, server.port ?? 0) };
    if (problems.size > 0) log.info("Listening at last", fields);
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
 * One attempt to serve on one address, alone: not beside another process on the same port.
 * @throws SluiceError LISTEN_FAILED naming the address
 */
export function bind(
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
      // Bun shares a port between processes unless told not to: a second proxy would then take every other
      // probe, and nobody would hear that the port was taken.
      reusePort: false,
      // Nothing here takes more of a body than a number.
      maxRequestBodySize: 1024,
    });
  } catch (error) {
    throw new SluiceError(
      "LISTEN_FAILED",
      `Cannot listen on ${hostname} port ${port}: it must be free and an address of this node: ${messageOf(error)}`,
      printHostPort(hostname, port),
      { cause: error },
    );
  }
}

function printHostPort(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** HTTP/1.0 has no Host, as load balancers' simplest probes: the URL is then a path, which no router takes. */
function withHost(request: Request): Request {
  const { url } = request;
  return url.startsWith("/") ? new Request(`http://localhost${url}`, request) : request;
}
