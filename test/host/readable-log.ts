import { createLogger, type Logger } from "../../src/base/log.ts";

/** A log at -v=2 whose lines can be read: severity and message, `W Cannot …`. */
export function readableLog(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const write = (line: string) => {
    lines.push(`${line[0]} ${line.slice(line.indexOf("] ") + 2).trimEnd()}`);
  };
  const log = createLogger({ verbosity: 2, format: "text", now: () => 0, write, pid: 1 });
  return { log, lines };
}
