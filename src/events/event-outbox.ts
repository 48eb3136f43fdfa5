/**
 * Takes Events from the first moment on; the recorder that sends them is made later, once the rules are in
 * the kernel and the API server is known.
 */
import type { EventRecorder, KubeEvent } from "./events.ts";

/** Newer ones push out older ones. */
const KEPT_MAX = 100;

export class EventOutbox implements EventRecorder {
  readonly #now: () => number;
  readonly #kept: { readonly event: KubeEvent; readonly at: number }[] = [];
  #recorder: EventRecorder | undefined;
  #attached: Promise<void> | undefined;
  #closed = false;

  /** @param now milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now;
  }

  record(event: KubeEvent, at: number = this.#now()): void {
    if (this.#closed) return;
    if (this.#recorder !== undefined) this.#recorder.record(event, at);
    else if (this.#kept.push({ event, at }) > KEPT_MAX) this.#kept.shift();
  }

  /**
   * Resolves when there is a recorder, of which one is made: also for who asks while that is under way. From then on
   * everything goes to it, beginning with what was kept. It is closed with the outbox.
   */
  attach(make: () => Promise<EventRecorder>): Promise<void> {
    this.#attached ??= make().then((recorder) => {
      this.#recorder = recorder;
      for (const { event, at } of this.#kept.splice(0)) recorder.record(event, at);
      if (this.#closed) recorder.close();
    });
    return this.#attached;
  }

  async flush(ms: number): Promise<void> {
    await this.#recorder?.flush(ms);
  }

  close(): void {
    this.#closed = true;
    this.#kept.length = 0;
    this.#recorder?.close();
  }
}
