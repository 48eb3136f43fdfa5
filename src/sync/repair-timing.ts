/**
 * Decides when to repair what another program changed. A repair runs at once unless the same object
 * is changed repeatedly. Two programs that undo each other's work must not do so at full speed. A
 * thousand objects that change once each do not count as repetition.
 */
import type { ForeignChange } from "../backend/drift.ts";
import type { Clock } from "../base/clock.ts";
import {
  REPAIR_OBJECTS_MAX,
  REPAIR_QUIET_MS,
  REPAIR_WAIT_MS,
  REPAIR_WAIT_MS_MAX,
  REPAIRS_BEFORE_BACKOFF,
} from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import { retryDelay } from "../base/retry-delay.ts";

export interface RepairTimingOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Verifies the touched objects and syncs. */
  readonly repair: () => void;
}

/** The repair history of one object that other programs changed. */
interface RepairHistory {
  /** Repairs in a row. The row ends if a change comes more than REPAIR_QUIET_MS after a repair. */
  consecutive: number;
  lastRepair: number;
}

const EVERYTHING = "everything";
const DELAYS = { firstMs: REPAIR_WAIT_MS, maxMs: REPAIR_WAIT_MS_MAX };

export class RepairTiming {
  readonly #options: RepairTimingOptions;
  readonly #log: Logger;
  readonly #histories = new Map<string, RepairHistory>();
  /** The objects that the next repair covers. `#next` says when it is due. */
  readonly #pending = new Set<string>();
  /** The log says that repairs are delayed. */
  #delaying = false;
  #next: { readonly at: number; readonly cancel: () => void } | undefined;

  constructor(options: RepairTimingOptions) {
    this.#options = options;
    this.#log = options.log.from("repair-timing.ts");
  }

  /** Reports that another program just touched one of our objects. */
  changed({ what, by, objects }: ForeignChange): void {
    const { clock } = this.#options;
    const now = clock.monotonic();
    let soonest = Number.POSITIVE_INFINITY;
    let repairs = 0;
    for (const object of objects.length > 0 ? objects : [EVERYTHING]) {
      const history = this.#histories.get(object);
      const isQuiet = history !== undefined && now - history.lastRepair > REPAIR_QUIET_MS;
      // An object that is still waiting for its repair did not calm down.
      if (isQuiet && !this.#pending.has(object)) history.consecutive = 0;
      this.#pending.add(object);
      soonest = Math.min(
        soonest,
        history === undefined ? now : history.lastRepair + interval(history),
      );
      repairs = Math.max(repairs, history?.consecutive ?? 0);
    }
    if (this.#next !== undefined && this.#next.at <= soonest) return;
    this.#next?.cancel();
    const wait = Math.max(0, soonest - now);
    if (wait <= REPAIR_WAIT_MS) this.#delaying = false;
    else if (!this.#delaying) {
      this.#delaying = true;
      this.#log.warn("Delayed the repair of rules that another program keeps changing", {
        what,
        by,
        repairs,
        waitMs: Math.round(wait),
      });
    }
    this.#next = { at: soonest, cancel: this.#schedule(wait) };
  }

  /** Cancels the pending repair. */
  stop(): void {
    this.#next?.cancel();
    this.#next = undefined;
  }

  #schedule(wait: number): () => void {
    const { clock } = this.#options;
    if (wait > 0) return clock.after(wait, () => this.#repair());
    let wanted = true;
    clock.soon(() => wanted && this.#repair());
    return () => {
      wanted = false;
    };
  }

  #repair(): void {
    const { clock, repair } = this.#options;
    const now = clock.monotonic();
    for (const object of this.#pending) {
      const inARow = this.#histories.get(object)?.consecutive ?? 0;
      // Delete first, so that the map stays sorted from the oldest repair to the newest.
      this.#histories.delete(object);
      this.#histories.set(object, { consecutive: inARow + 1, lastRepair: now });
    }
    this.#pending.clear();
    for (const [object, { lastRepair }] of this.#histories) {
      const calm = now - lastRepair > REPAIR_QUIET_MS;
      if (!calm && this.#histories.size <= REPAIR_OBJECTS_MAX) break;
      this.#histories.delete(object);
    }
    this.#next = undefined;
    repair();
  }
}

/** The minimum time between the last repair of an object and the next, in ms. */
function interval({ consecutive }: RepairHistory): number {
  return retryDelay(Math.max(1, consecutive - REPAIRS_BEFORE_BACKOFF + 1), DELAYS);
}
