/** Provides clocks that advance only on demand. */
import type { Clock } from "../../src/base/clock.ts";

/** A clock that advances only on demand and runs callbacks in the order of their time. */
export class FakeClock implements Clock {
  #now: number;
  #timers: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(now = 1_700_000_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + Math.max(ms, 0), order: this.#order++, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  soon(run: () => void): void {
    this.after(0, run);
  }

  /** Number of waiting callbacks. */
  get waiting(): number {
    return this.#timers.length;
  }

  /** Advances time, runs the due callbacks, and lets promises settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      this.#timers.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = this.#timers[0];
      if (next === undefined || next.at > end) break;
      this.#timers.shift();
      this.#now = Math.max(this.#now, next.at);
      next.run();
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
    this.#now = end;
  }
}

/** A clock with a `soon` of one turn of the real event loop, so that real I/O can proceed. */
export class RealLoopClock extends FakeClock {
  override soon(run: () => void): void {
    setImmediate(run);
  }
}
