import type { LogFields } from "../base/log.ts";

/** A line for the log, which does not exist before its configuration is known. */
export interface Note {
  readonly severity: "info" | "warn";
  readonly message: string;
  readonly fields: LogFields;
}
