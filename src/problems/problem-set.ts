/** The problems of what is checked as a whole: tells news only, and when one is over. */
import type { Problem, ProblemEvent, TellProblems } from "./problem.ts";

export class Reports {
  readonly #tell: TellProblems;
  #current = new Map<string, Problem>();

  constructor(tell: TellProblems) {
    this.#tell = tell;
  }

  all(): readonly Problem[] {
    return [...this.#current.values()];
  }

  /** These are all problems there are now; one for each subject, code and field. */
  set(problems: readonly Problem[]): void {
    const before = this.#current;
    this.#current = new Map(problems.map((each) => [keyOf(each), each]));
    const events: ProblemEvent[] = [];
    for (const [key, { subject, code, field }] of before) {
      if (!this.#current.has(key)) events.push({ end: { subject, code, field } });
    }
    for (const [key, problem] of this.#current) {
      if (before.get(key)?.message !== problem.message) events.push({ begin: problem });
    }
    if (events.length > 0) this.#tell(events);
  }
}

function keyOf({ subject, code, field }: Problem): string {
  return `${subject}\n${code}\n${field}`;
}
