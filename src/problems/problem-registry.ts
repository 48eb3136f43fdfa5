/** What is wrong with single objects right now: each said once, shown until it is mended. */
import type { Problem, ProblemEnd, ProblemEvent } from "./problem.ts";

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
        const key = `${begin.subject} ${keyOf(begin)}`;
        this.#begin(begin, ended.get(key)?.message);
        ended.delete(key);
      } else {
        for (const over of this.#end(event.end)) ended.set(`${over.subject} ${keyOf(over)}`, over);
      }
    }
    for (const over of ended.values()) this.#onEnd(over);
  }

  /** The problems of one code that an object has now; those it had before and are not listed are over. */
  replace(subject: string, code: Problem["code"], problems: readonly Problem[]): void {
    const known = this.#bySubject.get(subject);
    if (known === undefined && problems.length === 0) return;
    const fields = new Set(problems.map(({ field }) => field));
    for (const problem of known?.values() ?? []) {
      if (problem.code !== code || fields.has(problem.field)) continue;
      this.#delete(problem);
      this.#onEnd(problem);
    }
    for (const problem of problems) this.#begin(problem);
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
    const before = known.get(keyOf(problem));
    known.set(keyOf(problem), problem);
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
    if (!known?.delete(keyOf(problem))) return;
    if (known.size === 0) this.#bySubject.delete(problem.subject);
  }
}

function keyOf({ code, field }: Pick<Problem, "code" | "field">): string {
  return `${code} ${field}`;
}
