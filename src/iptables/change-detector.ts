/**
 * Notices that somebody else changed the tables. They have no events: a cheap look every second tells that something
 * changed, and a comparison whether it is ours. One is also made now and then although nothing seems to have changed.
 */
import type { Clock } from "../base/clock.ts";
import { rethrowDefect, type SluiceError } from "../base/errors.ts";
import {
  COMPARE_FACTOR,
  COMPARE_FACTOR_CHANGED,
  COMPARE_INTERVAL_MS,
  COMPARE_WRITTEN_MS,
  PEEK_INTERVAL_MS,
} from "../base/limits.ts";

/**
 * `unknown`: something was written or staged meanwhile, and what was read may be from before it. `ours`: nothing was
 * read, since what a failed restore of ours left is yet to be taken back.
 */
export type Comparison = "same" | "differs" | "unknown" | "ours";

/** After so many comparisons in a row that came to nothing, everything else has to wait for the next one. */
const UNKNOWN_MAX = 2;

export interface GuardOptions {
  readonly clock: Clock;
  /** Another text after a change of anybody. @throws SluiceError */
  readonly peek: () => string;
  /** How many transactions, anybody's, made one text of `peek` the other; undefined: it does not tell. */
  readonly commits: (before: string, after: string) => number | undefined;
  /** How many we have made, as far as is known. */
  readonly ours: () => number;
  /** Everything is in its place as far as is known. */
  readonly idle: () => boolean;
  /** Compares everything. @throws SluiceError */
  readonly compare: () => Promise<Comparison>;
  /** It differs. */
  readonly differs: () => void;
  /** It cannot be told while we write so often: nothing may be written until it is compared. */
  readonly starved: () => void;
  /** It could not be compared. */
  readonly failed: (error: SluiceError) => void;
}

export class Guard {
  readonly #options: GuardOptions;
  #cancel: () => void = () => {};
  /** What `peek` said when everything was as it should be. */
  #known: string | undefined;
  /** Somebody changed something that has not been looked at since. */
  #doubtful = false;
  /** While we wrote, somebody may have changed something: nothing tells. */
  #unsure = false;
  #writes = 0;
  /** We are writing just now. */
  #open = false;
  /** Of `#writes`, the last one that a look had to make way for. */
  #missed = 0;
  /** When everything was compared last. */
  #sure = 0;
  /** Comparisons in a row that came to nothing. */
  #unknown = 0;
  /** As of `writing`. */
  #before: { readonly peeked: string | undefined; readonly ours: number } | undefined;
  #compared = { at: 0, took: 0 };
  #stopped = true;

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    // Nobody has looked since the last write before.
    this.#doubtful = true;
    this.#sure = this.#options.clock.monotonic();
    this.#compared = { at: this.#sure, took: 0 };
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** We are about to write. */
  writing(): void {
    this.#writes++;
    this.#open = true;
    const peeked = this.#peek();
    if (this.#known !== undefined && peeked !== this.#known) this.#doubtful = true;
    this.#before = { peeked, ours: this.#options.ours() };
  }

  /** We have written. */
  written(): void {
    this.#open = false;
    const after = this.#peek();
    this.#known = after;
    const { peeked: before, ours = 0 } = this.#before ?? {};
    if (before === undefined || after === undefined) return;
    const commits = this.#options.commits(before, after);
    if (commits === undefined) this.#unsure ||= before !== after;
    else if (commits !== this.#options.ours() - ours) this.#doubtful = true;
  }

  /** Something may differ: it is compared soon. */
  doubt(): void {
    this.#doubtful = true;
  }

  /** Everything was compared just now, and nothing written before that is in doubt. */
  compared(): void {
    this.#unknown = 0;
    this.#doubtful = false;
    this.#unsure = false;
    this.#sure = this.#options.clock.monotonic();
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(PEEK_INTERVAL_MS, () => void this.#tick());
  }

  async #tick(): Promise<void> {
    if (this.#options.idle()) {
      if (!this.#open) {
        if (this.#due()) await this.#compare();
      } else if (this.#missed !== this.#writes && this.#due()) {
        // One that takes long counts once.
        this.#missed = this.#writes;
        this.#starve();
      }
    }
    this.#schedule();
  }

  /** It could not be compared because of what we write. */
  #starve(): void {
    const { clock, starved } = this.#options;
    this.#unknown++;
    const late = this.#doubtful || clock.monotonic() - this.#sure >= COMPARE_INTERVAL_MS;
    if (this.#unknown < UNKNOWN_MAX || !late) return;
    this.#unknown = 0;
    starved();
  }

  #due(): boolean {
    const { clock } = this.#options;
    if (!this.#open && this.#peek() !== this.#known) this.#doubtful = true;
    const { at, took } = this.#compared;
    const interval = this.#unsure ? COMPARE_WRITTEN_MS : COMPARE_INTERVAL_MS;
    const wait = this.#doubtful
      ? took * COMPARE_FACTOR_CHANGED
      : Math.max(interval, took * COMPARE_FACTOR);
    return clock.monotonic() - at >= wait;
  }

  async #compare(): Promise<void> {
    const { clock, compare, differs, failed } = this.#options;
    const began = clock.monotonic();
    const writes = this.#writes;
    const peeked = this.#peek();
    try {
      const found = await compare();
      if (this.#stopped) return;
      if (found === "ours") return;
      // What was read may be from before or after what was written meanwhile.
      if (found === "unknown" || writes !== this.#writes) {
        this.#starve();
        return;
      }
      this.compared();
      this.#known = peeked;
      if (found === "differs") differs();
    } catch (thrown) {
      rethrowDefect(thrown);
      failed(thrown);
    } finally {
      const at = clock.monotonic();
      this.#compared = { at, took: at - began };
    }
  }

  #peek(): string | undefined {
    try {
      return this.#options.peek();
    } catch (thrown) {
      rethrowDefect(thrown);
      return undefined;
    }
  }
}
