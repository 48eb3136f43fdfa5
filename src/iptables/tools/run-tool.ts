/** Runs a program of the machine: arguments are never a shell's, output and time have a bound. */
import type { ExecFileException } from "node:child_process";
import { SluiceError } from "../../base/errors.ts";
import { TOOL_OUTPUT_MAX, TOOL_TIMEOUT_MS } from "../../base/limits.ts";

export interface Ran {
  readonly status: number;
  readonly output: string;
  readonly complaint: string;
}

export interface RunOptions {
  /** For it to read. */
  readonly input?: string;
  /** After so long it is killed; in ms. */
  readonly timeout?: number;
}

/** Of what it complained about, so much is repeated. */
const COMPLAINT_MAX = 500;
/**
 * Tables of 10,000 Services are some 60 MB of memory to a tool, which asks for them bit by bit: taken by large pages, and
 * from the heap at once, a restore of one chain takes a fifth less. Other C libraries than glibc pass it over.
 */
const LARGE_PAGES = "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67108864";

/**
 * Resolves when it has ended, whatever its status.
 * @throws SluiceError TOOL_FAILED, when it cannot be run, prints too much or takes too long
 */
export async function run(
  command: string,
  args: readonly string[],
  { input = "", timeout = TOOL_TIMEOUT_MS }: RunOptions = {},
): Promise<Ran> {
  // Seldom needed: nobody else runs programs.
  const { execFile } = await import("node:child_process");
  return new Promise<Ran>((resolve, reject) => {
    const options = {
      maxBuffer: TOOL_OUTPUT_MAX,
      timeout,
      killSignal: "SIGKILL",
      encoding: "utf8",
      env: { GLIBC_TUNABLES: LARGE_PAGES, ...process.env },
    } as const;
    const ended = (error: ExecFileException | null, output: string, complaint: string) => {
      const status = error === null ? 0 : error.code;
      if (typeof status === "number") resolve({ status, output, complaint: complaint.trim() });
      else reject(failed(command, args, whyKilled(error, timeout)));
    };
    const child = execFile(command, args, options, ended);
    // A program that ends before it has read everything is known by its status.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}

function whyKilled(error: ExecFileException | null, timeout: number): string {
  if (error?.killed === true && error.signal === "SIGKILL") {
    return `it was killed after ${timeout / 1000} s`;
  }
  return error?.message ?? "it was killed";
}

/** In one line, and not too long. */
export function shorten(words: string): string {
  return words.replaceAll(/\s+/g, " ").trim().slice(0, COMPLAINT_MAX);
}

/** An error about a program, with what it said. */
export function failed(command: string, args: readonly string[], why: string): SluiceError {
  const message = `Cannot run ${[command, ...args].join(" ")}: it must end well: it says "${shorten(why)}"`;
  return new SluiceError("TOOL_FAILED", message, command);
}
