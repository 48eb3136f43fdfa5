/**
 * Keeps the current problems of single objects. Each is announced once and listed until it ends.
 */
import { type Problem, type ProblemEnd, type ProblemEvent, problemKey } from "./problem.ts";
import { problemChanges, problemsByKey } from "./problem-set.ts";

export class ProblemRegistry {
  readonly #bySubject = new Map<string, Map<string, Problem>>();
  readonly #onBegin: (problem: Problem) => void;
  readonly #onEnd: (problem: Problem) => void;

  /**
   * `onBegin` is called for a problem that is new or has a new message, `onEnd` for one that ended.
   * Both are meant for the log.
   */
  constructor(onBegin: (problem: Problem) => void, onEnd: (problem: Problem) => void = () => {}) {
    this.#onBegin = onBegin;
    this.#onEnd = onEnd;
  }

  /**
   * Applies events. A problem that ends and begins again in one call, with the same message, is not
   * announced again.
   */
  report(events: readonly ProblemEvent[]): void {
    const ended = new Map<string, Problem>();
    for (const event of events) {
      if ("begin" in event) {
        const { begin } = event;
        const key = problemKey(begin);
        this.#begin(begin, ended.get(key)?.message);
        ended.delete(key);
      } else {
        for (const over of this.#end(event.end)) ended.set(problemKey(over), over);
      }
    }
    for (const over of ended.values()) this.#onEnd(over);
  }

  /**
   * Replaces the problems of one code of a subject. Previous ones that are not listed have ended.
   */
  replace(subject: string, code: Problem["code"], problems: readonly Problem[]): void {
    const known = this.#bySubject.get(subject);
    if (known === undefined && problems.length === 0) return;
    const before = problemsByKey(this.of(subject).filter((problem) => problem.code === code));
    for (const event of problemChanges(before, problemsByKey(problems))) {
      if ("begin" in event) this.#begin(event.begin);
      else for (const over of this.#end(event.end)) this.#onEnd(over);
    }
  }

  list(): Problem[] {
    return [...this.#bySubject.values()].flatMap((problems) => [...problems.values()]);
  }

  of(subject: string): Problem[] {
    return [...(this.#bySubject.get(subject)?.values() ?? [])];
  }

  /** `last` is the message of the same problem before it ended in this call. */
  #begin(problem: Problem, last?: string): void {
    const known = this.#bySubject.get(problem.subject) ?? new Map<string, Problem>();
    this.#bySubject.set(problem.subject, known);
    const before = known.get(problemKey(problem));
    known.set(problemKey(problem), problem);
    if ((before?.message ?? last) !== problem.message) this.#onBegin(problem);
  }

  #end({ subject, code, field }: ProblemEnd): Problem[] {
    const over = this.of(subject).filter(
      (problem) => problem.code === code && (field === undefined || problem.field === field),
    );
    for (const problem of over) this.#delete(problem);
    return over;
  }

  #delete(problem: Problem): void {
    const known = this.#bySubject.get(problem.subject);
    if (!known?.delete(problemKey(problem))) return;
    if (known.size === 0) this.#bySubject.delete(problem.subject);
  }
}
