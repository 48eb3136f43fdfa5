/**
 * Writes log lines to stderr, one per event. Text has the form of klog's structured lines, so that
 * parsers of kube-proxy's log can read it:
 * `I1124 11:40:00.123456       1 loop.ts:1] Synced services=12 outcome="applied"`.
 * JSON has the keys of upstream's --logging-format=json.
 */
import { messageOf, SluiceError } from "./errors.ts";

/** Fields of a line. Undefined values are omitted. */
export type LogFields = { readonly [key: string]: string | number | boolean | undefined };

/**
 * Verbosity for individual source files, as in klog's --vmodule. In a pattern, `*` matches any
 * characters and `?` matches one.
 */
export interface ModuleVerbosity {
  /** File name without its extension; may contain `*` and `?`. */
  readonly pattern: string;
  readonly verbosity: number;
}

export interface Logger {
  /**
   * Current verbosity of this source file, from -v and --vmodule. Level 0 is for what an operator
   * must know, 1 for each listener, 2 for each sync.
   */
  readonly verbosity: number;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, thrown?: unknown, fields?: LogFields): void;
  /**
   * Writes the line only if `verbosity` is at least `level`. If the fields are expensive to
   * compute, check `verbosity` first.
   */
  debug(level: number, message: string, fields?: LogFields): void;
  /**
   * Returns true on the first call for `key`, so that a lasting condition is logged once:
   * `if (log.firstTime("Service default/web")) log.warn(...)`.
   */
  firstTime(key: string): boolean;
  /** Call this when the condition ends: the next `firstTime(key)` returns true. */
  rearm(key: string): void;
  /** The same log, with another source file name in its lines. */
  from(source: string): Logger;
}

/**
 * A log that can be reconfigured while in use. New settings apply to every logger derived from it.
 */
export interface LogRoot extends Logger {
  configure(settings: LogSettings): void;
}

export interface LogSettings {
  readonly verbosity: number;
  readonly format: "text" | "json";
  /**
   * As in klog: a pattern can only raise the level, and the first pattern that matches a file wins.
   */
  readonly vmodule?: readonly ModuleVerbosity[];
}

export interface LogOptions extends LogSettings {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /**
   * Writes one line, including its newline. Returns `false` if the line was lost. The logger counts
   * lost lines and reports the count once a line is accepted again.
   */
  readonly write: (line: string) => unknown;
  readonly pid: number;
}

/**
 * Maximum number of remembered keys. Beyond it the oldest is forgotten, so its condition may be
 * logged twice.
 */
const ONCE_KEYS_MAX = 10_000;

/** Creates a log that writes through `options.write`. */
export function createLogger(options: LogOptions, source = "main.ts"): LogRoot {
  const { now, write, pid } = options;
  return new LineLogger(
    { settings: options, now, write, pid, loggedKeys: new Set(), lost: 0 },
    source,
  );
}

type Severity = "I" | "W" | "E";

/** State shared by all loggers of one log. */
interface Shared {
  /** `configure` replaces this object. */
  settings: LogSettings;
  readonly now: () => number;
  readonly write: (line: string) => unknown;
  readonly pid: number;
  readonly loggedKeys: Set<string>;
  /** Lost lines that have not been reported yet. */
  lost: number;
}

class LineLogger implements LogRoot {
  readonly #shared: Shared;
  readonly #source: string;
  /** The settings that `#verbosity` was computed from. */
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

  firstTime(key: string): boolean {
    const { loggedKeys } = this.#shared;
    if (loggedKeys.has(key)) return false;
    if (loggedKeys.size >= ONCE_KEYS_MAX) {
      for (const oldest of loggedKeys) {
        loggedKeys.delete(oldest);
        break;
      }
    }
    loggedKeys.add(key);
    return true;
  }

  rearm(key: string): void {
    this.#shared.loggedKeys.delete(key);
  }

  from(source: string): Logger {
    return new LineLogger(this.#shared, source);
  }

  #line(severity: Severity, level: number, message: string, fields: LogFields): void {
    const shared = this.#shared;
    if (shared.lost > 0) {
      const message = "Lost log lines because stderr could not be written";
      const written = writeLine(shared, "W", 0, "log.ts", message, { lines: shared.lost });
      if (written) shared.lost = 0;
    }
    if (!writeLine(shared, severity, level, this.#source, message, fields)) shared.lost++;
  }
}

/** Returns false if the line was lost. */
function writeLine(
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

/** klog's rule. Patterns work as in Go's filepath.Match, but without character classes. */
function verbosityOf({ verbosity, vmodule = [] }: LogSettings, source: string): number {
  const name = source.replace(/\.ts$/, "");
  const first = vmodule.find(({ pattern }) => matches(pattern, name));
  return Math.max(verbosity, first?.verbosity ?? 0);
}

function matches(pattern: string, name: string): boolean {
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
  // The line number is unknown here, but parsers of klog's format require one.
  const where = `${String(pid).padStart(7)} ${source}:1`;
  let line = `${severity}${day} ${time} ${where}] ${onOneLine(message)}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    line += ` ${key}=${typeof value === "string" ? JSON.stringify(value) : value}`;
  }
  return line;
}

/**
 * Escapes control characters. Names and messages can come from the API and must not start a new
 * line.
 */
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
