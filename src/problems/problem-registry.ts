/** What is wrong with single objects right now: each said once, shown until it is mended. */
import { type Problem, type ProblemEnd, type ProblemEvent, problemKey } from "./problem.ts";
import { problemChanges, problemsByKey } from "./problem-set.ts";

export class Problems {
  readonly #bySubject = new Map<string, Map<string, Problem>>();
  readonly #onBegin: (problem: Problem) => void;
  readonly #onEnd: (problem: Problem) => void;

  /**
   * `onBegin` is called for a problem that is new or says something else than before, `onEnd` for one that is over:
   * log them.
   */
  constructor(onBegin: (problem: Problem) => void, onEnd: (problem: Problem) => void = () => {}) {
    this.#onBegin = onBegin;
    this.#onEnd = onEnd;
  }

  /** What ends and begins again with the same words in one call is not said anew. */
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

  /** The problems of one code that an object has now; those it had before and are not listed are over. */
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

  /** `last` is what was said of it before it ended. */
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
