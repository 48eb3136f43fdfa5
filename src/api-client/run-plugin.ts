/** Runs a credential plugin as a process group of its own, so that all of it can be killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { isAbsolute, join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { systemClock } from "../base/clock.ts";
import { describeCause } from "../base/errors.ts";
import { PLUGIN_TIMEOUT_MS } from "../base/limits.ts";
import type { ExecConfig } from "./exec-config.ts";
import type { Environment } from "./proxy-url.ts";

/** The plugin failed. The message does not name it. */
export class PluginFailure extends Error {}

/** Limit of what a plugin prints, in bytes. Credentials are a few kilobytes. */
const OUTPUT_MAX = 1 << 20;
/** The last line of the plugin's errors is cut to this many characters. */
const SHOWN_MAX = 200;

/** Process groups of the plugins that run. They must not outlive this process. */
const running = new Set<number>();
let watchesExit = false;

/**
 * Runs the plugin without input and returns what it printed.
 * @param info value of KUBERNETES_EXEC_INFO
 * @throws PluginFailure
 */
export async function runPlugin(
  config: ExecConfig,
  info: string,
  environment: Environment,
  timeoutMs = PLUGIN_TIMEOUT_MS,
): Promise<string> {
  const path = findProgram(config.command, environment["PATH"] ?? "");
  if (path === undefined) throw notFound(config);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = spawn(path, config.args, {
    env: { ...environment, ...Object.fromEntries(config.env), KUBERNETES_EXEC_INFO: info },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const forget = rememberGroup(child);
  const fail = (message: string) => {
    reject(new PluginFailure(message));
    killGroup(child.pid);
  };
  const cancel = systemClock.after(timeoutMs, () => {
    fail(`no result within ${timeoutMs / 1000} s; killed`);
  });
  const output = collect(child.stdout, () => fail(`printed more than ${OUTPUT_MAX} bytes; killed`));
  const errors = collect(child.stderr, () => {});
  child.once("error", (thrown: NodeJS.ErrnoException) => {
    reject(thrown.code === "ENOENT" ? notFound(config) : new PluginFailure(describeCause(thrown)));
  });
  child.once("close", (code, signal) => {
    if (code === 0) resolve(output());
    else {
      const end = signal === null ? `exit status ${code}` : `ended by ${signal}`;
      const last = lastLine(errors());
      reject(new PluginFailure(last === "" ? end : `${end}: ${last}`));
    }
  });
  try {
    return await promise;
  } finally {
    cancel();
    forget();
  }
}

/** As in Go, the program is looked up in the absolute folders of our own PATH. */
function findProgram(command: string, path: string): string | undefined {
  if (isAbsolute(command)) return command;
  return path
    .split(":")
    .filter(isAbsolute)
    .map((folder) => join(folder, command))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

function notFound({ installHint }: ExecConfig): PluginFailure {
  const hint = printable(installHint);
  return new PluginFailure(hint === "" ? "program not found" : `program not found (${hint})`);
}

/** Returns a function that forgets the group of a process that has ended. */
function rememberGroup({ pid }: ChildProcess): () => void {
  if (!watchesExit) {
    watchesExit = true;
    process.once("exit", () => {
      for (const group of running) killGroup(group);
    });
  }
  if (pid === undefined) return () => {};
  running.add(pid);
  return () => running.delete(pid);
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** Returns a function that returns the text so far. `onExcess` is called if it becomes too long. */
function collect(stream: NodeJS.ReadableStream, onExcess: () => void): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= OUTPUT_MAX) chunks.push(chunk);
    else onExcess();
  });
  return () => Buffer.concat(chunks).toString("utf8");
}

function lastLine(text: string): string {
  return printable(text.trimEnd().split("\n").at(-1) ?? "").slice(0, SHOWN_MAX);
}

/** Joins lines, and removes the sequences that control a terminal. */
function printable(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll(/\p{C}+/gu, " ")
    .trim();
}
