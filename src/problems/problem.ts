/** Defines problems with single objects, and the events of their beginning and end. */
import type { ErrorCode } from "../base/errors.ts";

/**
 * A problem with one object. Sluice skips the faulty part, counts and logs the problem once, and
 * lists it in the admin API until the object is fixed or deleted.
 */
export interface Problem {
  /**
   * For example `Service default/web`, `EndpointSlice default/web-abcde`,
   * `/etc/sluice/web.yaml:12`.
   */
  readonly subject: string;
  readonly code: ErrorCode;
  /** The path of the field at fault, for example `spec.externalIPs[1]`. */
  readonly field: string;
  readonly message: string;
}

/** Returns the key of a problem. Two problems with the same key replace each other. */
export function problemKey({ subject, code, field }: Omit<Problem, "message">): string {
  return `${subject}\n${code}\n${field}`;
}

/** Ends problems of a subject: the one of `field`, or without `field` all with this code. */
export interface ProblemEnd {
  readonly subject: string;
  readonly code: ErrorCode;
  readonly field?: string;
}

/** A problem began or changed its message, or problems ended. */
export type ProblemEvent = { readonly begin: Problem } | { readonly end: ProblemEnd };

/**
 * Receives problem events in order. A problem that ends and begins again in one call counts as
 * continuous.
 */
export type ReportProblems = (events: readonly ProblemEvent[]) => void;
