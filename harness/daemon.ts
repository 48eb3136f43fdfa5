/** Runs background processes that end no later than this process. */
import { closeSync, openSync, readFileSync } from "node:fs";

/** A process that runs until it is stopped, or until this process dies. */
export interface Daemon {
  readonly pid: number;
  /** Path of its output. */
  readonly log: string;
  readonly exited: Promise<number>;
  /** Ends it and waits for its exit; kills it after 10 s. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Returns the last lines of its output, for error messages. */
  tail(lines?: number): string;
}

/**
 * Starts a command in a network namespace ("" for our own). The kernel kills it when this process
 * ends for any reason, so an interrupted test leaves no process behind.
 */
export function startDaemon(
  netns: string,
  command: readonly string[],
  log: string,
  env?: Record<string, string>,
): Daemon {
  const output = openSync(log, "a");
  const child = Bun.spawn(
    ["setpriv", "--pdeathsig", "KILL", "--", ...inNamespace(netns), ...command],
    {
      stdio: ["ignore", output, output],
      ...(env && { env: { ...process.env, ...env } }),
    },
  );
  closeSync(output);
  return {
    pid: child.pid,
    log,
    exited: child.exited,
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      const last = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await child.exited;
      clearTimeout(last);
    },
    tail(lines = 15) {
      return readFileSync(log, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
    },
  };
}

/**
 * The words of a command line that run a command in a network namespace. `ip netns exec` does not
 * fork either, but it mounts another /sys.
 */
export function inNamespace(netns: string): readonly string[] {
  return netns === "" ? [] : ["nsenter", `--net=/run/netns/${netns}`, "--"];
}
