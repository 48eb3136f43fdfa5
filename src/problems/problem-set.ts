/** Keeps the current problems of one reporter. */
import { type Problem, type ProblemEvent, problemKey, type ReportProblems } from "./problem.ts";

export class ProblemSet {
  readonly #report: ReportProblems;
  #current = new Map<string, Problem>();

  constructor(report: ReportProblems) {
    this.#report = report;
  }

  get size(): number {
    return this.#current.size;
  }

  all(): readonly Problem[] {
    return [...this.#current.values()];
  }

  /** Replaces all problems. There is at most one for each subject, code and field. */
  set(problems: readonly Problem[]): void {
    const before = this.#current;
    this.#current = problemsByKey(problems);
    const events = problemChanges(before, this.#current);
    if (events.length > 0) this.#report(events);
  }

  /**
   * Adds a problem, or replaces the one with the same subject, code and field. It is reported even
   * if it is known: another reporter may have ended all problems of the subject, and a registry
   * ignores known ones.
   */
  begin(problem: Problem): void {
    this.#current.set(problemKey(problem), problem);
    this.#report([{ begin: problem }]);
  }

  /** Ends the problem with this subject, code and field, if there is one. */
  end({ subject, code, field }: Omit<Problem, "message">): void {
    const end = { subject, code, field };
    if (this.#current.delete(problemKey(end))) this.#report([{ end }]);
  }
}

/** Indexes problems by key. Of two with the same key, the later one counts. */
export function problemsByKey(problems: readonly Problem[]): Map<string, Problem> {
  return new Map(problems.map((problem) => [problemKey(problem), problem]));
}

/**
 * Lists the differences between two sets of problems: first the ended, then the new or changed
 * ones.
 */
export function problemChanges(
  before: ReadonlyMap<string, Problem>,
  now: ReadonlyMap<string, Problem>,
): ProblemEvent[] {
  const events: ProblemEvent[] = [];
  for (const [key, { subject, code, field }] of before) {
    if (!now.has(key)) events.push({ end: { subject, code, field } });
  }
  for (const [key, problem] of now) {
    if (before.get(key)?.message !== problem.message) events.push({ begin: problem });
  }
  return events;
}
