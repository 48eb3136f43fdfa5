/** Runs an event loop over poll(2) with timers. */
import { poll } from "./libc.ts";

type Handler = (events: number) => void;

interface Watched {
  readonly events: number;
  readonly handle: Handler;
}

export class Poller {
  private readonly watched = new Map<number, Watched>();
  private readonly timers = new Map<number, { readonly at: number; readonly run: () => void }>();
  private nextTimer = 1;

  watch(fd: number, events: number, handle: Handler): void {
    this.watched.set(fd, { events, handle });
  }

  unwatch(fd: number): void {
    this.watched.delete(fd);
  }

  /** Runs once after `milliseconds`. Returns a handle for `cancel`. */
  after(milliseconds: number, run: () => void): number {
    const timer = this.nextTimer++;
    this.timers.set(timer, { at: performance.now() + milliseconds, run });
    return timer;
  }

  cancel(timer: number): void {
    this.timers.delete(timer);
  }

  /** Waits for the next events or timers and handles them. */
  turn(): void {
    const entries = [...this.watched];
    const set = new Int32Array(new ArrayBuffer(8 * Math.max(1, entries.length)));
    entries.forEach(([fd, { events }], index) => {
      set[index * 2] = fd;
      set[index * 2 + 1] = events;
    });
    const ready = poll(set, entries.length, this.untilNextTimer());
    if (ready > 0) {
      entries.forEach(([fd, watched], index) => {
        const events = (set[index * 2 + 1] ?? 0) >>> 16;
        // An earlier handler may have closed it, and another socket may have its number now.
        if (events !== 0 && this.watched.get(fd) === watched) watched.handle(events);
      });
    }
    this.runTimers();
  }

  private untilNextTimer(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { at } of this.timers.values()) next = Math.min(next, at);
    if (next === Number.POSITIVE_INFINITY) return -1;
    return Math.max(0, Math.ceil(next - performance.now()));
  }

  private runTimers(): void {
    const now = performance.now();
    for (const [timer, { at, run }] of this.timers) {
      if (at <= now) {
        this.timers.delete(timer);
        run();
      }
    }
  }
}
