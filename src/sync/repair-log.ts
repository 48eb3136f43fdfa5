/** Logs foreign changes and their repair, with a limit for a program that changes rules forever. */
import type { Drift } from "../backend/drift.ts";
import { type Clock, roundMs } from "../base/clock.ts";
import { REPAIR_LINES_MAX, REPAIR_LINES_MS } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";

/** The result of foreign changes: how many objects were repaired, if any. */
export interface RepairReport extends Pick<Drift, "change" | "changes" | "driftedCounts"> {
  /** Time from the first noticed change until the kernel held everything again. */
  readonly durationMs: number;
}

const KINDS = ["table", "chain", "map", "element"] as const;

/** The sum of repairs without a line. */
interface HeldRepairs {
  repairs: number;
  changes: number;
  readonly counts: { [kind in (typeof KINDS)[number]]: number };
  last: RepairReport["change"];
}

export class RepairLog {
  readonly #clock: Clock;
  readonly #log: Logger;
  /** Lines that the current period may still have. */
  #left = REPAIR_LINES_MAX;
  #inPeriod = false;
  #held: HeldRepairs | undefined;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log.from("repair-log.ts");
  }

  /** Logs a foreign change and its repair. If nothing differed, it logs only at -v 2. */
  repaired(report: RepairReport): void {
    const { change, changes, driftedCounts, durationMs } = report;
    const { what, by } = change;
    const fields = { what, by, ...(changes > 1 && { changes }) };
    const repaired = print(driftedCounts);
    if (repaired === "") {
      const message = "Checked rules after a change by another program and found no drift";
      this.#log.debug(2, message, fields);
      return;
    }
    this.#beginPeriod();
    if (this.#left === 0) {
      this.#hold(report);
      return;
    }
    this.#left--;
    this.#log.warn("Repaired rules changed by another program", {
      ...fields,
      repaired,
      durationMs: roundMs(durationMs),
    });
  }

  #beginPeriod(): void {
    if (this.#inPeriod) return;
    this.#inPeriod = true;
    this.#clock.after(REPAIR_LINES_MS, () => this.#endPeriod());
  }

  /** While a storm lasts, a period has only the line with the sum. */
  #endPeriod(): void {
    this.#inPeriod = false;
    const held = this.#held;
    this.#held = undefined;
    this.#left = held === undefined ? REPAIR_LINES_MAX : 0;
    if (held === undefined) return;
    const { repairs, changes, counts, last } = held;
    this.#log.warn("Repaired rules that another program keeps changing", {
      repairs,
      changes,
      what: last.what,
      by: last.by,
      repaired: print(counts),
    });
    this.#beginPeriod();
  }

  #hold({ change, changes, driftedCounts }: RepairReport): void {
    const held = this.#held ?? {
      repairs: 0,
      changes: 0,
      counts: { table: 0, chain: 0, map: 0, element: 0 },
      last: change,
    };
    held.repairs++;
    held.changes += changes;
    held.last = change;
    for (const kind of KINDS) held.counts[kind] += driftedCounts[kind] ?? 0;
    this.#held = held;
  }
}

/** Prints counts as `chains: 1, elements: 40`. */
function print(counts: RepairReport["driftedCounts"]): string {
  const entries = Object.entries(counts).filter(([, count]) => count > 0);
  return entries.map(([object, count]) => `${object}s: ${count}`).join(", ");
}
