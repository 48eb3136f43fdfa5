/**
 * Detects changes of the tables by other programs. iptables has no events, so the detector reads a
 * cheap counter every second (change-counter.ts). If the counter shows a change, it compares the
 * tables in full. It also compares occasionally without a sign of change, because the counter
 * misses some.
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
 * `same`, `differs`: the result of a complete comparison. `unknown`: we wrote or staged something
 * meanwhile, so the result may be outdated. `ours`: nothing was read, because a failed restore left
 * something that must be repaired first.
 */
export type Comparison = "same" | "differs" | "unknown" | "ours";

/** After this many consecutive comparisons without a result, writes wait for the next one. */
const UNKNOWN_MAX = 2;

export interface ChangeDetectorOptions {
  readonly clock: Clock;
  /**
   * Returns a different text after a change by any process.
   * @throws SluiceError
   */
  readonly readCounter: () => string;
  /**
   * The number of transactions, by any process, between two texts of `readCounter`; undefined if
   * the texts do not show it.
   */
  readonly commits: (before: string, after: string) => number | undefined;
  /** The number of transactions that this process made, as far as it knows. */
  readonly ownCommits: () => number;
  /** True unless a difference waits for its repair. The detector pauses while it is false. */
  readonly idle: () => boolean;
  /**
   * Compares all tables in full.
   * @throws SluiceError
   */
  readonly compare: () => Promise<Comparison>;
  readonly onDifference: () => void;
  /**
   * Called when frequent writes prevent every comparison from completing. The next comparison must
   * run while nothing is written.
   */
  readonly onComparisonStarved: () => void;
  readonly onComparisonFailed: (error: SluiceError) => void;
}

export class ChangeDetector {
  readonly #options: ChangeDetectorOptions;
  #cancel: () => void = () => {};
  /** The counter when the tables were last known to be correct. */
  #known: string | undefined;
  /** Another program changed something since the last comparison. */
  #suspicious = false;
  /** Another program may have changed something during our write; the counter cannot tell. */
  #unsure = false;
  #writes = 0;
  #writing = false;
  /** The value of `#writes` when a comparison was last skipped because of a write in progress. */
  #missed = 0;
  /** Time of the last comparison, in monotonic ms. */
  #comparedAt = 0;
  /** Number of consecutive comparisons without a result. */
  #unknown = 0;
  /** The state at the last `beginWrite`. */
  #before: { readonly counter: string | undefined; readonly ownCommits: number } | undefined;
  /** The last attempt to compare: its end in monotonic ms and its duration in ms. */
  #attempt = { at: 0, took: 0 };
  #stopped = true;

  constructor(options: ChangeDetectorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    // The tables have not been checked since our last write.
    this.#suspicious = true;
    this.#comparedAt = this.#options.clock.monotonic();
    this.#attempt = { at: this.#comparedAt, took: 0 };
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** Call it before each of our writes. */
  beginWrite(): void {
    this.#writes++;
    this.#writing = true;
    const counter = this.#readCounter();
    if (this.#known !== undefined && counter !== this.#known) this.#suspicious = true;
    this.#before = { counter, ownCommits: this.#options.ownCommits() };
  }

  /** Call it after each of our writes. */
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

  /** Requests a comparison soon, because something may differ. */
  suspect(): void {
    this.#suspicious = true;
  }

  /** Another function has just compared everything. */
  recordComparison(): void {
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
        if (this.#isDue()) await this.#compare();
      } else if (this.#missed !== this.#writes && this.#isDue()) {
        // Count a long write only once.
        this.#missed = this.#writes;
        this.#noResult();
      }
    }
    this.#schedule();
  }

  /** Records that our own writes prevented a result. */
  #noResult(): void {
    const { clock, onComparisonStarved } = this.#options;
    this.#unknown++;
    const overdue = clock.monotonic() - this.#comparedAt >= COMPARE_INTERVAL_MS;
    if (this.#unknown < UNKNOWN_MAX || !(this.#suspicious || overdue)) return;
    this.#unknown = 0;
    onComparisonStarved();
  }

  #isDue(): boolean {
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
      // We wrote meanwhile, so the output may be from before or after the write.
      if (found === "unknown" || writes !== this.#writes) {
        this.#noResult();
        return;
      }
      this.recordComparison();
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
