/** What cannot be served, and when that begins and ends. */
import type { ErrorCode } from "../base/errors.ts";

/**
 * A problem with one object: skipped, counted, logged once, shown by the admin API until the object is
 * mended or deleted.
 */
export interface Problem {
  /** `Service default/web`, `EndpointSlice default/web-abcde`, `/etc/sluice/web.yaml:12`. */
  readonly subject: string;
  readonly code: ErrorCode;
  /** The field at fault, as a path: `spec.externalIPs[1]`. */
  readonly field: string;
  readonly message: string;
}

/** Equal for two problems exactly if one takes the place of the other. */
export function problemKey({ subject, code, field }: Omit<Problem, "message">): string {
  return `${subject}\n${code}\n${field}`;
}

/** Which problems of a subject are over: that of one field, or without `field` all of this code. */
export interface ProblemEnd {
  readonly subject: string;
  readonly code: ErrorCode;
  readonly field?: string;
}

/** A problem began, or says something else than before; or some are over. */
export type ProblemEvent = { readonly begin: Problem } | { readonly end: ProblemEnd };

/** Takes what became of problems, in order. What ends and begins again in one call went on all the time. */
export type TellProblems = (events: readonly ProblemEvent[]) => void;
