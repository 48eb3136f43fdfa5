/**
 * When to put right what somebody else has changed: at once, unless it happens again and again. Two programs
 * that undo each other's work must not do so as fast as they can.
 */
import type { ForeignChange } from "../apply/backend.ts";
import type { Clock } from "../clock.ts";
import {
  REPAIR_CALM_MS,
  REPAIR_WAIT_MS,
  REPAIR_WAIT_MS_MAX,
  REPAIRS_BEFORE_BACKOFF,
} from "../limits.ts";
import type { Logger } from "../log.ts";

export interface RepairsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Reads the kernel again and syncs. */
  readonly repair: () => void;
}

export class Repairs {
  readonly #options: RepairsOptions;
  /** The first change since the last repair, which the log tells. */
  #pending: { readonly change: ForeignChange; readonly cancel: () => void } | undefined;
  /** Changes that the next repair will cover. */
  #changes = 0;
  /** Repairs with less than REPAIR_CALM_MS between each and the change before it. */
  #inARow = 0;
  #lastRepair = Number.NEGATIVE_INFINITY;

  constructor(options: RepairsOptions) {
    this.#options = options;
  }

  /** Somebody else changed something of ours just now. */
  changed(change: ForeignChange): void {
    this.#changes++;
    if (this.#pending !== undefined) return;
    const { clock, log } = this.#options;
    const now = clock.monotonic();
    if (now - this.#lastRepair > REPAIR_CALM_MS) this.#inARow = 0;
    const wait = Math.max(0, this.#lastRepair + this.#interval() - now);
    if (wait > REPAIR_WAIT_MS) {
      log.warn("Somebody else keeps changing our rules; the next repair has to wait", {
        ...change,
        repairs: this.#inARow,
        waitMs: Math.round(wait),
      });
    }
    const repair = () => this.#repair();
    if (wait === 0) {
      let wanted = true;
      clock.soon(() => wanted && repair());
      this.#pending = {
        change,
        cancel: () => {
          wanted = false;
        },
      };
    } else {
      this.#pending = { change, cancel: clock.after(wait, repair) };
    }
  }

  /** Nothing is repaired any more. */
  stop(): void {
    this.#pending?.cancel();
    this.#pending = undefined;
  }

  /** Least time from the last repair to the next. */
  #interval(): number {
    const doublings = Math.max(0, this.#inARow - REPAIRS_BEFORE_BACKOFF);
    return Math.min(REPAIR_WAIT_MS * 2 ** doublings, REPAIR_WAIT_MS_MAX);
  }

  #repair(): void {
    const { clock, log, repair } = this.#options;
    const { change } = this.#pending ?? {};
    log.warn("Somebody else changed our rules; they are put right", {
      ...change,
      ...(this.#changes > 1 && { changes: this.#changes }),
    });
    this.#pending = undefined;
    this.#changes = 0;
    this.#inARow++;
    this.#lastRepair = clock.monotonic();
    repair();
  }
}
