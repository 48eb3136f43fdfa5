/**
 * One line per fact, on stderr. Text looks like klog's structured lines, so that what reads kube-proxy's
 * log reads ours: `I1124 11:40:00.123456       1 loop.ts:1] Synced services=12 outcome="applied"`. JSON has the
 * keys of upstream's --logging-format=json.
 */
import { messageOf, SluiceError } from "./errors.ts";

/** Values of a line. Undefined ones are left out. */
export type LogFields = { readonly [key: string]: string | number | boolean | undefined };

/** Levels of -v for single source files: klog's --vmodule. `*` and `?` in a pattern stand for any characters, and for one. */
export interface ModuleVerbosity {
  /** The file's name without its ending. */
  readonly pattern: string;
  readonly verbosity: number;
}

export interface Logger {
  /**
   * What -v and --vmodule come to for this source file, now: 0 says what an operator must know, 2 each sync, 4 each
   * decision, 6 each message.
   */
  readonly verbosity: number;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, thrown?: unknown, fields?: LogFields): void;
  /** Written only when `verbosity` is at least `level`. Ask `verbosity` first where the fields are dear. */
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

/** A log whose form can be changed while it is written to, with effect on every logger made from it. */
export interface LogRoot extends Logger {
  configure(settings: LogSettings): void;
}

export interface LogSettings {
  readonly verbosity: number;
  readonly format: "text" | "json";
  /** As klog has it: a level can only rise by it, and the first pattern that fits a file counts. */
  readonly vmodule?: readonly ModuleVerbosity[];
}

export interface LogOptions extends LogSettings {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Takes one line, with its newline. `false` says that it is lost: how many are, is said when one is taken again. */
  readonly write: (line: string) => unknown;
  readonly pid: number;
}

/** Beyond this many remembered keys the oldest is forgotten: such a condition may be said twice. */
const ONCE_KEYS_MAX = 10_000;

/** A log that writes through `options.write`. */
export function createLogger(options: LogOptions, source = "main.ts"): LogRoot {
  const { now, write, pid } = options;
  return new LineLogger({ settings: options, now, write, pid, said: new Set(), lost: 0 }, source);
}

type Severity = "I" | "W" | "E";

/** What all loggers of one log share. */
interface Shared {
  /** Another object after each `configure`. */
  settings: LogSettings;
  readonly now: () => number;
  readonly write: (line: string) => unknown;
  readonly pid: number;
  readonly said: Set<string>;
  /** Lines that were not taken, and of which nobody was told. */
  lost: number;
}

class LineLogger implements LogRoot {
  readonly #shared: Shared;
  readonly #source: string;
  /** The settings that `#verbosity` follows from. */
  #settings: LogSettings | undefined;
  #verbosity = 0;

  constructor(shared: Shared, source: string) {
    this.#shared = shared;
    this.#source = source;
  }

  get verbosity(): number {
    const { settings } = this.#shared;
    if (this.#settings !== settings) {
      this.#settings = settings;
      this.#verbosity = verbosityOf(settings, this.#source);
    }
    return this.#verbosity;
  }

  configure(settings: LogSettings): void {
    this.#shared.settings = { ...settings };
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
    const { said } = this.#shared;
    if (said.has(key)) return false;
    if (said.size >= ONCE_KEYS_MAX) {
      for (const oldest of said) {
        said.delete(oldest);
        break;
      }
    }
    said.add(key);
    return true;
  }

  again(key: string): void {
    this.#shared.said.delete(key);
  }

  from(source: string): Logger {
    return new LineLogger(this.#shared, source);
  }

  #line(severity: Severity, level: number, message: string, fields: LogFields): void {
    const shared = this.#shared;
    if (shared.lost > 0) {
      const said = "Lines of this log are lost: nobody took them";
      const taken = write(shared, "W", 0, "log.ts", said, { lines: shared.lost });
      if (taken) shared.lost = 0;
    }
    if (!write(shared, severity, level, this.#source, message, fields)) shared.lost++;
  }
}

/** False if the line is lost. */
function write(
  { settings, now, pid, write: take }: Shared,
  severity: Severity,
  level: number,
  source: string,
  message: string,
  fields: LogFields,
): boolean {
  const line =
    settings.format === "json"
      ? jsonLine(severity, level, now(), source, message, fields)
      : textLine(severity, now(), pid, source, message, fields);
  return take(`${line}\n`) !== false;
}

/** klog's rule; its patterns are those of Go's filepath.Match, less its character classes. */
function verbosityOf({ verbosity, vmodule = [] }: LogSettings, source: string): number {
  const name = source.replace(/\.ts$/, "");
  const first = vmodule.find(({ pattern }) => fits(pattern, name));
  return Math.max(verbosity, first?.verbosity ?? 0);
}

function fits(pattern: string, name: string): boolean {
  const expression = pattern.replace(/[^\w]/g, (character) => {
    if (character === "*") return ".*";
    return character === "?" ? "." : `\\${character}`;
  });
  return new RegExp(`^${expression}$`).test(name);
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
  // Which line of the file it was is not known here; readers of klog's lines insist on a number.
  const where = `${String(pid).padStart(7)} ${source}:1`;
  let line = `${severity}${day} ${time} ${where}] ${onOneLine(message)}`;
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
