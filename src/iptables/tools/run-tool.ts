/** Runs a program on the node without a shell, and limits its output and running time. */
import type { ExecFileException } from "node:child_process";
import { describeCause, SluiceError } from "../../base/errors.ts";
import { TOOL_OUTPUT_MAX, TOOL_TIMEOUT_MS } from "../../base/limits.ts";

/** A program that has exited. */
export interface ToolExit {
  readonly status: number;
  readonly stdout: string;
  /** Trimmed at both ends. */
  readonly stderr: string;
}

export interface RunOptions {
  /** Written to the program's standard input. */
  readonly input?: string;
  /** Time limit in milliseconds; the program is then killed. */
  readonly timeout?: number;
}

/** An error message quotes at most this many characters of a program's output. */
const REPEATED_MAX = 500;
/**
 * Settings for glibc's malloc. A tool needs about 60 MB of memory for the tables of 10,000
 * Services, and requests it in small pieces. With huge pages, and a heap that grows by 64 MiB at a
 * time, a restore of one chain takes a fifth less time. Other C libraries ignore this.
 */
const LARGE_PAGES = "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67108864";

/**
 * Resolves when the program has exited, whatever its status.
 * @throws SluiceError TOOL_FAILED, if it cannot be run, prints too much or takes too long
 */
export async function runTool(
  command: string,
  args: readonly string[],
  { input = "", timeout = TOOL_TIMEOUT_MS }: RunOptions = {},
): Promise<ToolExit> {
  // Loaded on demand, because nftables mode seldom runs a program.
  const { execFile } = await import("node:child_process");
  return new Promise<ToolExit>((resolve, reject) => {
    const options = {
      maxBuffer: TOOL_OUTPUT_MAX,
      timeout,
      killSignal: "SIGKILL",
      encoding: "utf8",
      env: { GLIBC_TUNABLES: LARGE_PAGES, ...process.env },
    } as const;
    const exited = (error: ExecFileException | null, stdout: string, stderr: string) => {
      const status = error === null ? 0 : error.code;
      if (typeof status === "number") resolve({ status, stdout, stderr: stderr.trim() });
      else reject(toolFailedError(command, args, killReason(error, timeout)));
    };
    const child = execFile(command, args, options, exited);
    // EPIPE: the program exited before it read all of its input. Its status shows the cause.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}

function killReason(error: ExecFileException | null, timeout: number): string {
  if (error?.killed === true && error.signal === "SIGKILL") {
    return `killed after ${timeout / 1000} s`;
  }
  const signal = error?.signal ?? undefined;
  return signal === undefined ? describeCause(error) : `killed by ${signal}`;
}

/** Puts text on one line and cuts it to REPEATED_MAX characters. */
export function toOneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim().slice(0, REPEATED_MAX);
}

/** Creates the error for a program that failed. `why` is usually its exit status and output. */
export function toolFailedError(
  command: string,
  args: readonly string[],
  why: string,
): SluiceError {
  const message = `${[command, ...args].join(" ")}: ${toOneLine(why)}`;
  return new SluiceError("TOOL_FAILED", message, command);
}
