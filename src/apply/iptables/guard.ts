/**
 * Notices that somebody else changed the tables. They have no events: a cheap look every second tells that something
 * changed, and a comparison whether it is ours. One is also made now and then although nothing seems to have changed.
 */
import type { Clock } from "../../clock.ts";
import { rethrowDefect, type SluiceError } from "../../errors.ts";
import {
  COMPARE_FACTOR,
  COMPARE_FACTOR_CHANGED,
  COMPARE_INTERVAL_MS,
  COMPARE_WRITTEN_MS,
  PEEK_INTERVAL_MS,
} from "../../limits.ts";

export interface GuardOptions {
  readonly clock: Clock;
  /** Another text after a change of anybody. @throws SluiceError */
  readonly peek: () => string;
  /** How many transactions, anybody's, made one text of `peek` the other; undefined: it does not tell. */
  readonly commits: (before: string, after: string) => number | undefined;
  /** How many we have made, as far as is known. */
  readonly ours: () => number;
  /** Nothing is being written or compared, and everything is in its place as far as is known. */
  readonly idle: () => boolean;
  /** Compares everything; to be told are those that differ. @throws SluiceError */
  readonly compare: () => Promise<boolean>;
  /** It differs. */
  readonly differs: () => void;
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
  /** As of `writing`. */
  #before: { readonly peeked: string | undefined; readonly ours: number } | undefined;
  #compared = { at: 0, took: 0 };
  #stopped = true;

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    this.#compared = { at: this.#options.clock.monotonic(), took: 0 };
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** We are about to write. */
  writing(): void {
    this.#writes++;
    const peeked = this.#peek();
    if (this.#known !== undefined && peeked !== this.#known) this.#doubtful = true;
    this.#before = { peeked, ours: this.#options.ours() };
  }

  /** We have written. */
  written(): void {
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

  #schedule(): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(PEEK_INTERVAL_MS, () => void this.#tick());
  }

  async #tick(): Promise<void> {
    if (this.#due()) await this.#compare();
    this.#schedule();
  }

  #due(): boolean {
    const { clock, idle } = this.#options;
    if (!idle()) return false;
    if (this.#peek() !== this.#known) this.#doubtful = true;
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
      const same = await compare();
      // What was read may be from before or after what was written meanwhile.
      if (writes !== this.#writes || this.#stopped) return;
      this.#known = peeked;
      this.#doubtful = false;
      this.#unsure = false;
      if (!same) differs();
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
