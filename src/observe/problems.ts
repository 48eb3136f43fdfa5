/** What is wrong with single objects right now: each said once, shown until it is mended. */
import type { Problem } from "../types.ts";

export class Problems {
  readonly #bySubject = new Map<string, Map<string, Problem>>();
  readonly #onBegin: (problem: Problem) => void;
  #count = 0;

  /** `onBegin` is called for a problem that is new or says something else than before: log it. */
  constructor(onBegin: (problem: Problem) => void) {
    this.#onBegin = onBegin;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * A problem of one field of an object; an empty message ends it, and an empty field with an empty message
   * ends all problems of the object with that code.
   */
  report(problem: Problem): void {
    if (problem.message === "") this.#end(problem);
    else this.#begin(problem);
  }

  /** The problems of one code that an object has now; those it had before and are not listed are over. */
  replace(subject: string, code: Problem["code"], problems: readonly Problem[]): void {
    const known = this.#bySubject.get(subject);
    if (known === undefined && problems.length === 0) return;
    const fields = new Set(problems.map(({ field }) => field));
    for (const problem of known?.values() ?? []) {
      if (problem.code === code && !fields.has(problem.field)) this.#delete(problem);
    }
    for (const problem of problems) this.#begin(problem);
  }

  list(): Problem[] {
    return [...this.#bySubject.values()].flatMap((problems) => [...problems.values()]);
  }

  of(subject: string): Problem[] {
    return [...(this.#bySubject.get(subject)?.values() ?? [])];
  }

  #begin(problem: Problem): void {
    const known = this.#bySubject.get(problem.subject) ?? new Map<string, Problem>();
    this.#bySubject.set(problem.subject, known);
    const before = known.get(keyOf(problem));
    known.set(keyOf(problem), problem);
    if (before === undefined) this.#count++;
    if (before?.message !== problem.message) this.#onBegin(problem);
  }

  #end(ended: Problem): void {
    for (const problem of this.of(ended.subject)) {
      const whole = ended.field === "" && problem.code === ended.code;
      if (whole || keyOf(problem) === keyOf(ended)) this.#delete(problem);
    }
  }

  #delete(problem: Problem): void {
    const known = this.#bySubject.get(problem.subject);
    if (!known?.delete(keyOf(problem))) return;
    this.#count--;
    if (known.size === 0) this.#bySubject.delete(problem.subject);
  }
}

function keyOf({ code, field }: Problem): string {
  return `${code} ${field}`;
}
