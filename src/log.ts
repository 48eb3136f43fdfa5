/**
 * One line per fact, on stderr. Text looks like klog's structured lines, so that what reads kube-proxy's
 * log reads ours: `I1124 11:40:00.123456 1 loop.ts] Synced services=12 outcome="applied"`. JSON has the
 * keys of upstream's --logging-format=json.
 */
import { messageOf, SluiceError } from "./errors.ts";

/** Values of a line. Undefined ones are left out. */
export type LogFields = { readonly [key: string]: string | number | boolean | undefined };

export interface Logger {
  /** The level of -v: 0 says what an operator must know, 2 each sync, 4 each decision, 6 each message. */
  readonly verbosity: number;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, thrown?: unknown, fields?: LogFields): void;
  /** Written only when -v is at least `level`. Ask `verbosity` first where the fields are dear. */
  debug(level: number, message: string, fields?: LogFields): void;
  /**
   * True the first time it is asked about `key`, so that a lasting condition is one line:
   * `if (log.once("Service default/web")) log.warn(...)`.
   */
  once(key: string): boolean;
  /** The condition ended: the next `once(key)` is true again. */
  again(key: string): void;
  /** The same log, with another source file in its lines. */
  from(source: string): Logger;
}

export interface LogOptions {
  readonly verbosity: number;
  readonly format: "text" | "json";
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Takes one line, with its newline. */
  readonly write: (line: string) => void;
  readonly pid: number;
}

/** Beyond this many remembered keys the oldest is forgotten: such a condition may be said twice. */
const ONCE_KEYS_MAX = 10_000;

/** A log that writes through `options.write`. */
export function createLogger(options: LogOptions, source = "main.ts"): Logger {
  return new LineLogger(options, source, new Set());
}

/** Writes lines to the process's stderr, at once: a line before a crash is not lost. */
export function writeStderr(line: string): void {
  process.stderr.write(line);
}

type Severity = "I" | "W" | "E";

class LineLogger implements Logger {
  readonly verbosity: number;
  readonly #options: LogOptions;
  readonly #source: string;
  readonly #said: Set<string>;

  constructor(options: LogOptions, source: string, said: Set<string>) {
    this.verbosity = options.verbosity;
    this.#options = options;
    this.#source = source;
    this.#said = said;
  }

  info(message: string, fields: LogFields = {}): void {
    this.#line("I", 0, message, fields);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#line("W", 0, message, fields);
  }

  error(message: string, thrown?: unknown, fields: LogFields = {}): void {
    const code = thrown instanceof SluiceError ? thrown.code : undefined;
    const err = thrown === undefined ? undefined : messageOf(thrown);
    this.#line("E", 0, message, { err, code, ...fields });
  }

  debug(level: number, message: string, fields: LogFields = {}): void {
    if (level <= this.verbosity) this.#line("I", level, message, fields);
  }

  once(key: string): boolean {
    if (this.#said.has(key)) return false;
    if (this.#said.size >= ONCE_KEYS_MAX) {
      for (const oldest of this.#said) {
        this.#said.delete(oldest);
        break;
      }
    }
    this.#said.add(key);
    return true;
  }

  again(key: string): void {
    this.#said.delete(key);
  }

  from(source: string): Logger {
    return new LineLogger(this.#options, source, this.#said);
  }

  #line(severity: Severity, level: number, message: string, fields: LogFields): void {
    const { format, now, pid, write } = this.#options;
    const line =
      format === "json"
        ? jsonLine(severity, level, now(), this.#source, message, fields)
        : textLine(severity, now(), pid, this.#source, message, fields);
    write(`${line}\n`);
  }
}

function textLine(
  severity: Severity,
  now: number,
  pid: number,
  source: string,
  message: string,
  fields: LogFields,
): string {
  const at = new Date(now);
  const two = (value: number) => String(value).padStart(2, "0");
  const micros = String(Math.floor((now % 1000) * 1000)).padStart(6, "0");
  const day = `${two(at.getMonth() + 1)}${two(at.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${micros}`;
  let line = `${severity}${day} ${time} ${pid} ${source}] ${onOneLine(message)}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    line += ` ${key}=${typeof value === "string" ? JSON.stringify(value) : value}`;
  }
  return line;
}

/** Names and messages come from the API too: none may start a line of its own. */
function onOneLine(message: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
  return message.replace(/[\u0000-\u001f]/g, (c) => JSON.stringify(c).slice(1, -1));
}

function jsonLine(
  severity: Severity,
  level: number,
  now: number,
  caller: string,
  msg: string,
  fields: LogFields,
): string {
  const head = { ts: now, caller, msg };
  if (severity === "E") return JSON.stringify({ ...head, ...fields });
  return JSON.stringify({
    ...head,
    v: level,
    ...(severity === "W" ? { severity: "warning" } : {}),
    ...fields,
  });
}
