/** Runs background processes that end with this process at the latest. */
import { closeSync, openSync, readFileSync } from "node:fs";

/** A process that runs until it is told to stop, or until this process dies. */
export interface Daemon {
  readonly pid: number;
  /** Where its output goes. */
  readonly log: string;
  readonly exited: Promise<number>;
  /** Ends it and waits until it is gone; kills it after 10 s. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** The last lines of its output, for error messages. */
  tail(lines?: number): string;
}

/**
 * Starts a command in a network namespace ("" for our own). The kernel kills it when this process
 * ends, however that happens, so an interrupted test leaves nothing running.
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
 * The words before a command that put it into a network namespace. Not `ip netns exec`, which forks
 * nothing either but mounts another /sys.
 */
export function inNamespace(netns: string): readonly string[] {
  return netns === "" ? [] : ["nsenter", `--net=/run/netns/${netns}`, "--"];
}
