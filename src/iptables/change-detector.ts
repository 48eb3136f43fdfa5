/**
 * Detects changes of the tables by other processes. iptables has no events, so it reads a cheap
 * counter every second (change-counter.ts). When the counter shows a change, it compares the tables
 * in full. It also compares now and then without a sign of change, because the counter misses some.
 */
import type { Clock } from "../base/clock.ts";
import { rethrowDefect, type SluiceError } from "../base/errors.ts";
import {
  CHANGE_COUNTER_POLL_MS,
  COMPARE_FACTOR,
  COMPARE_FACTOR_CHANGED,
  COMPARE_INTERVAL_MS,
  COMPARE_WRITTEN_MS,
} from "../base/limits.ts";

/**
 * `unknown`: we wrote or staged something during the comparison, and what was read may be from
 * before it. `ours`: nothing was read, because a failed restore of ours left something that must be
 * repaired first.
 */
export type Comparison = "same" | "differs" | "unknown" | "ours";

/** After this many comparisons in a row without a result, writes must wait for the next one. */
const UNKNOWN_MAX = 2;

export interface ChangeDetectorOptions {
  readonly clock: Clock;
  /** Returns another text after a change by any process. @throws SluiceError */
  readonly readCounter: () => string;
  /**
   * The number of transactions, by any process, between two texts of `readCounter`; undefined if
   * the texts do not show it.
   */
  readonly commits: (before: string, after: string) => number | undefined;
  /** The number of transactions that we made, as far as we know. */
  readonly ownCommits: () => number;
  /** No difference is waiting for its repair. Only then does the detector look. */
  readonly idle: () => boolean;
  /** Compares everything. @throws SluiceError */
  readonly compare: () => Promise<Comparison>;
  readonly onDifference: () => void;
  /**
   * We write so often that no comparison comes to a result. The next one must be made while nothing
   * is written.
   */
  readonly onComparisonStarved: () => void;
  readonly onComparisonFailed: (error: SluiceError) => void;
}

export class ChangeDetector {
  readonly #options: ChangeDetectorOptions;
  #cancel: () => void = () => {};
  /** The counter when the tables were last known to be right. */
  #known: string | undefined;
  /** Another process changed something since the last comparison. */
  #suspicious = false;
  /** Another process may have changed something during a write of ours; the counter cannot tell. */
  #unsure = false;
  #writes = 0;
  /** A write is under way. */
  #writing = false;
  /** The value of `#writes` when a comparison was last skipped because of a write under way. */
  #missed = 0;
  /** When the tables were last compared, monotonic ms. */
  #comparedAt = 0;
  /** Comparisons in a row that came to no result. */
  #unknown = 0;
  /** The state at the last `beginWrite`. */
  #before: { readonly counter: string | undefined; readonly ownCommits: number } | undefined;
  /** The last attempt to compare: when it ended and how long it took, in ms. */
  #attempt = { at: 0, took: 0 };
  #stopped = true;

  constructor(options: ChangeDetectorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    // Nobody has looked since our last write.
    this.#suspicious = true;
    this.#comparedAt = this.#options.clock.monotonic();
    this.#attempt = { at: this.#comparedAt, took: 0 };
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** Call it before each write of ours. */
  beginWrite(): void {
    this.#writes++;
    this.#writing = true;
    const counter = this.#readCounter();
    if (this.#known !== undefined && counter !== this.#known) this.#suspicious = true;
    this.#before = { counter, ownCommits: this.#options.ownCommits() };
  }

  /** Call it after each write of ours. */
  endWrite(): void {
    this.#writing = false;
    const after = this.#readCounter();
    this.#known = after;
    const { counter: before, ownCommits = 0 } = this.#before ?? {};
    if (before === undefined || after === undefined) return;
    const commits = this.#options.commits(before, after);
    if (commits === undefined) this.#unsure ||= before !== after;
    else if (commits !== this.#options.ownCommits() - ownCommits) this.#suspicious = true;
  }

  /** Something may differ: compare soon. */
  suspect(): void {
    this.#suspicious = true;
  }

  /** Everything was compared just now, elsewhere. */
  compared(): void {
    this.#unknown = 0;
    this.#suspicious = false;
    this.#unsure = false;
    this.#comparedAt = this.#options.clock.monotonic();
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(CHANGE_COUNTER_POLL_MS, () => void this.#tick());
  }

  async #tick(): Promise<void> {
    if (this.#options.idle()) {
      if (!this.#writing) {
        if (this.#due()) await this.#compare();
      } else if (this.#missed !== this.#writes && this.#due()) {
        // A long write counts once.
        this.#missed = this.#writes;
        this.#noResult();
      }
    }
    this.#schedule();
  }

  /** A comparison came to no result because of our own writes. */
  #noResult(): void {
    const { clock, onComparisonStarved } = this.#options;
    this.#unknown++;
    const overdue = clock.monotonic() - this.#comparedAt >= COMPARE_INTERVAL_MS;
    if (this.#unknown < UNKNOWN_MAX || !(this.#suspicious || overdue)) return;
    this.#unknown = 0;
    onComparisonStarved();
  }

  #due(): boolean {
    const { clock } = this.#options;
    if (!this.#writing && this.#readCounter() !== this.#known) this.#suspicious = true;
    const { at, took } = this.#attempt;
    const interval = this.#unsure ? COMPARE_WRITTEN_MS : COMPARE_INTERVAL_MS;
    const wait = this.#suspicious
      ? took * COMPARE_FACTOR_CHANGED
      : Math.max(interval, took * COMPARE_FACTOR);
    return clock.monotonic() - at >= wait;
  }

  async #compare(): Promise<void> {
    const { clock, compare, onDifference, onComparisonFailed } = this.#options;
    const started = clock.monotonic();
    const writes = this.#writes;
    const counter = this.#readCounter();
    try {
      const found = await compare();
      if (this.#stopped) return;
      if (found === "ours") return;
      // We wrote meanwhile, so what was read may be from before or after it.
      if (found === "unknown" || writes !== this.#writes) {
        this.#noResult();
        return;
      }
      this.compared();
      this.#known = counter;
      if (found === "differs") onDifference();
    } catch (thrown) {
      rethrowDefect(thrown);
      onComparisonFailed(thrown);
    } finally {
      const at = clock.monotonic();
      this.#attempt = { at, took: at - started };
    }
  }

  #readCounter(): string | undefined {
    try {
      return this.#options.readCounter();
    } catch (thrown) {
      rethrowDefect(thrown);
      return undefined;
    }
  }
}
