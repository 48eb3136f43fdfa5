/** Records reported problems. */
import type {
  Problem,
  ProblemEnd,
  ProblemEvent,
  ReportProblems,
} from "../../src/problems/problem.ts";

export class RecordedProblems {
  /** Problems that began and were resolved, in order. */
  readonly begun: Problem[] = [];
  readonly ended: ProblemEnd[] = [];
  readonly events: ProblemEvent[] = [];

  /** The changes of each call. */
  readonly calls: (readonly ProblemEvent[])[] = [];

  readonly report: ReportProblems = (events) => {
    this.calls.push(events);
    for (const event of events) {
      this.events.push(event);
      if ("begin" in event) this.begun.push(event.begin);
      else this.ended.push(event.end);
    }
  };
}

export function begunProblems(events: readonly ProblemEvent[]): Problem[] {
  return events.flatMap((event) => ("begin" in event ? [event.begin] : []));
}
