/** Parses the error messages of iptables-restore, in all its variants and versions. Pure. */
import { basename } from "node:path";
import { toOneLine } from "./run-tool.ts";

/**
 * `locked`: another process held the xtables lock for too long; the text may be valid. `line`:
 * something in the text was refused. `failed`: any other error, for example a missing capability.
 */
export interface RestoreRefusal {
  readonly kind: "locked" | "line" | "failed";
  /** The first element of `lines`. */
  readonly line?: number;
  /**
   * The refused lines of the text, counted from 1. The nft variant names all lines that the kernel
   * refused. The legacy variant names the first line that the tool itself does not understand, and
   * none if the kernel refused the table.
   */
  readonly lines: readonly number[];
  /** The refused table, if known. The tables before it in the text have been changed. */
  readonly table?: string;
  /** Contains the tool's own message, on one line. */
  readonly message: string;
}

/**
 * A line number in `Error occurred at line: 3`, `line 3 failed` or `line 3: RULE_APPEND failed`.
 */
const LINE = /\bline:? (\d+)/g;
/** A tool also prints this while it waits, so it counts only if the message names no line. */
const LOCKED = /holding the xtables lock|Resource temporarily unavailable/;
/** The lock file, if it cannot be opened. */
const NO_LOCK_FILE = /can't open lock file (\S+?):/;
const DENIED = /Permission denied|Operation not permitted|you must be root/;

/** The message on one line, without hints at other tables or at help. */
export function toolMessage(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => !/^(# |Try `)/.test(line));
  return toOneLine(lines.join(" "));
}

/** Returns `exit status 1: MESSAGE`. */
export function exitMessage(status: number, output: string): string {
  return `exit status ${status}: ${toolMessage(output)}`;
}

/** The path of the xtables lock file, if the message says that it cannot be opened. */
export function lockFileOf(words: string): string | undefined {
  return NO_LOCK_FILE.exec(words)?.[1];
}

/** Reports whether the message means that this process lacks permission. */
export function isDenied(words: string): boolean {
  return DENIED.test(words) && lockFileOf(words) === undefined;
}

/** Parses the `stderr` of the tool `command`, which refused `text`. */
export function readRefusal(command: string, stderr: string, text: string): RestoreRefusal {
  const words = toolMessage(stderr);
  const message = `${basename(command)}: ${words}`;
  const failed: RestoreRefusal = { kind: "failed", lines: [], message };
  const numbers = [...new Set([...stderr.matchAll(LINE)].map(([, digits]) => Number(digits)))];
  const source = text.split("\n");
  const [last] = numbers.slice(-1);
  const table = last === undefined ? undefined : tableAt(source, last);
  // Keep lines of rules and chains. A COMMIT line means the whole table, a `*TABLE` line means the
  // kernel.
  const lines = numbers.filter((number) => /^[-:[]/.test(source[number - 1] ?? ""));
  const [line] = lines;
  if (line !== undefined && table !== undefined)
    return { kind: "line", line, lines, table, message };
  if (LOCKED.test(words)) return { ...failed, kind: "locked" };
  if (table === undefined || isDenied(words)) return failed;
  return source[(last ?? 0) - 1] === "COMMIT" ? { kind: "line", lines, table, message } : failed;
}

/** The table that line `number` belongs to. */
function tableAt(source: readonly string[], number: number): string | undefined {
  for (let index = Math.min(number, source.length) - 1; index >= 0; index--) {
    const line = source[index] ?? "";
    if (line.startsWith("*")) return line.slice(1).trim();
  }
  return undefined;
}
