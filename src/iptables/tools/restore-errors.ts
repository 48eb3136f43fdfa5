/** What iptables-restore says when it refuses, in all its variants and versions. Pure. */
import { basename } from "node:path";
import { shorten } from "./run-tool.ts";

/**
 * `locked`: nothing is wrong with the text, another one held the xtables lock for too long. `line`: it is refused for
 * what it says. `failed`: anything else, no permission say.
 */
export interface Refused {
  readonly kind: "locked" | "line" | "failed";
  /** The first of `lines`. */
  readonly line?: number;
  /**
   * Lines of the text that are at fault, from 1. The nft variant names all that the kernel refused; the legacy one the
   * first that it does not understand itself, and none where the kernel refused something.
   */
  readonly lines: readonly number[];
  /** Of the table at fault, where it is known: tables before it in the text have been changed. */
  readonly table?: string;
  /** With the tool's own words, in one line. */
  readonly message: string;
}

/** Behind the text that a line is named by: `Error occurred at line: 3`, `line 3 failed`, `line 3: RULE_APPEND failed`. */
const LINE = /\bline:? (\d+)/g;
/** While it waits, it tells that as well; so this counts only if no line is named. */
const LOCKED = /holding the xtables lock|Resource temporarily unavailable/;
/** The file of the lock, which cannot be opened. */
const NO_LOCK_FILE = /can't open lock file (\S+?):/;
const DENIED = /Permission denied|Operation not permitted|you must be root/;

/** Without hints about other tables or help. */
export function toolWords(complaint: string): string {
  const lines = complaint.split("\n").filter((line) => !/^(# |Try `)/.test(line));
  return shorten(lines.join(" "));
}

/** The file of the xtables lock, if these words mean that it cannot be opened. */
export function lockFileOf(words: string): string | undefined {
  return NO_LOCK_FILE.exec(words)?.[1];
}

/** Do these words mean that this process may not? */
export function isDenied(words: string): boolean {
  return DENIED.test(words) && lockFileOf(words) === undefined;
}

/** `complaint` is what the tool `command` printed when it refused `text`. */
export function readRefusal(command: string, complaint: string, text: string): Refused {
  const words = toolWords(complaint);
  const message = `${basename(command)} says "${words}"`;
  const failed: Refused = { kind: "failed", lines: [], message };
  const numbers = [...new Set([...complaint.matchAll(LINE)].map(([, digits]) => Number(digits)))];
  const source = text.split("\n");
  const [last] = numbers.slice(-1);
  const table = last === undefined ? undefined : tableAt(source, last);
  // Is it the line of a rule or chain? That of COMMIT stands for all before it; that of a table for the kernel.
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
