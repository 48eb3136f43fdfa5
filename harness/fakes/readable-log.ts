/** Records log lines for tests. */
import { createLogger, type Logger } from "../../src/base/log.ts";

/** A log, by default at -v=2, that keeps lines as severity and message: `W Cannot …`. */
export function readableLog(verbosity = 2): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const write = (line: string) => {
    lines.push(line.replace(/^(.).*?\] /, "$1 ").trim());
  };
  return {
    log: createLogger({ verbosity, format: "text", now: () => 0, write, pid: 1 }),
    lines,
  };
}
