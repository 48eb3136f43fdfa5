/** The problems of one place that is checked as a whole: tells news only, and when one is over. */
import type { Problem } from "../types.ts";

export class Reports {
  readonly #tell: (problem: Problem) => void;
  #current = new Map<string, Problem>();

  /** @param tell gets each new problem, and with an empty message each that is over. */
  constructor(tell: (problem: Problem) => void) {
    this.#tell = tell;
  }

  all(): readonly Problem[] {
    return [...this.#current.values()];
  }

  /** These are all problems there are now; one for each subject and field. */
  set(problems: readonly Problem[]): void {
    const before = this.#current;
    this.#current = new Map(problems.map((each) => [`${each.subject}\n${each.field}`, each]));
    for (const [key, problem] of this.#current) {
      if (before.get(key)?.message !== problem.message) this.#tell(problem);
    }
    for (const [key, problem] of before) {
      if (!this.#current.has(key)) this.#tell({ ...problem, message: "" });
    }
  }
}
