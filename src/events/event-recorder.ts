/**
 * Writes Events to the API server, in the background: one request at a time on a connection that is only open
 * while something waits. Whatever fails here harms nothing else.
 */

import { Backoff } from "../api-client/backoff.ts";
import { statusOf } from "../api-client/status.ts";
import { messageOf, type SluiceError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { eventObject } from "./event-object.ts";
import { EventSender, type EventSenderOptions } from "./event-sender.ts";
import { RecentSeries, SERIES_QUIET_MS, type Series } from "./event-series.ts";
import type { EventRecorder, KubeEvent } from "./events.ts";

export interface EventRecorderOptions extends EventSenderOptions {
  readonly random: () => number;
  readonly log: Logger;
  /** The machine's own name, whatever the Node is called. */
  readonly hostname: string;
  /** Nobody will see an Event: it was refused, or pushed out by newer ones. */
  readonly onDropped: () => void;
}

/** What waits behind the one that is being sent; then the oldest is dropped. */
const QUEUE_MAX = 100;
/** Between two Events: kube-proxy's five requests a second. */
const REST_MS = 200;
/** Between two attempts at the same. */
const RETRY_MS = 1000;
const RETRY_MS_MAX = 60_000;
/** Answers that say "later" to the same Event, before it is given up: client-go. Silence does not count. */
const REFUSALS_MAX = 12;

export class ApiEventRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #log: Logger;
  readonly #backoff: Backoff;
  readonly #sender: EventSender;
  readonly #recent = new RecentSeries();
  #queue: Series[] = [];
  #lastUnique = 0n;
  #cancelSweep: (() => void) | undefined;
  #endRest = () => {};
  #sending = false;
  #closed = false;
  /** The last one was lost, and that was said. */
  #saidLoss = false;
  #whenIdle: (() => void)[] = [];

  constructor(options: EventRecorderOptions) {
    const { clock, random } = options;
    this.#options = options;
    this.#log = options.log.from("event-recorder.ts");
    this.#backoff = new Backoff({ firstMs: RETRY_MS, maxMs: RETRY_MS_MAX, clock, random });
    this.#sender = new EventSender(options);
  }

  record(event: KubeEvent, at: number = this.#options.clock.now()): void {
    if (this.#closed) return;
    const { clock, hostname } = this.#options;
    const make = () => eventObject(event, { at, unique: this.#unique(at), hostname });
    const series = this.#recent.add(event, at, make);
    if (series !== undefined) this.#enqueue(series);
    this.#cancelSweep ??= clock.after(SERIES_QUIET_MS, () => this.#sweep());
  }

  async flush(ms: number): Promise<void> {
    if (!this.#sending) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(ms, resolve);
      this.#whenIdle.push(() => {
        cancel();
        resolve();
      });
    });
  }

  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#cancelSweep?.();
    this.#endRest();
    this.#backoff.wake();
    this.#sender.close();
  }

  /** Two Events about one object in the same millisecond need two names. */
  #unique(at: number): bigint {
    const nanos = BigInt(Math.round(at * 1000)) * 1000n;
    this.#lastUnique = nanos > this.#lastUnique ? nanos : this.#lastUnique + 1n;
    return this.#lastUnique;
  }

  #sweep(): void {
    const { clock } = this.#options;
    for (const series of this.#recent.sweep(clock.now())) this.#enqueue(series);
    this.#cancelSweep =
      this.#recent.size === 0 ? undefined : clock.after(SERIES_QUIET_MS, () => this.#sweep());
  }

  #enqueue(series: Series): void {
    series.waiting = true;
    this.#queue.push(series);
    const oldest = this.#queue.length > QUEUE_MAX ? this.#queue.shift() : undefined;
    if (oldest !== undefined) this.#drop(oldest, `more than ${QUEUE_MAX} Events wait to be sent`);
    if (!this.#sending) void this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    this.#sending = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      await this.#sendOne(next);
      if (this.#queue.length > 0) await this.#rest();
    }
    this.#sender.close();
    this.#sending = false;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(REST_MS, resolve);
      this.#endRest = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Until it has arrived or is lost. */
  async #sendOne(series: Series): Promise<void> {
    this.#backoff.reset();
    let refusals = 0;
    while (!this.#closed) {
      const { count } = series;
      const error = await this.#sender.send(series, count);
      if (this.#closed) return;
      if (error === undefined) {
        this.#arrived(series, count);
        return;
      }
      const status = statusOf(error);
      if (status?.code === 401) this.#options.access.refused();
      if (status !== undefined) refusals += 1;
      if (!isPassing(error) || refusals === REFUSALS_MAX) {
        this.#drop(series, messageOf(error), status?.code);
        return;
      }
      this.#log.debug(2, "Could not write an Event, and tries again", { err: messageOf(error) });
      await this.#backoff.wait(status?.retryAfterMs);
    }
  }

  #arrived(series: Series, count: number): void {
    this.#saidLoss = false;
    this.#settle(series);
    series.told = count;
    series.prompt = count === 1;
    // Another came meanwhile.
    if (series.prompt && series.count > 1) this.#enqueue(series);
  }

  #drop(series: Series, error: string, status?: number): void {
    this.#settle(series);
    series.prompt = false;
    this.#options.onDropped();
    if (this.#saidLoss) return;
    this.#saidLoss = true;
    this.#log.warn("An Event is lost, and nothing else; more of them are counted but not said", {
      reason: series.object.reason,
      error,
      ...(status === 403 && { needs: "create, patch and update of events in events.k8s.io" }),
    });
  }

  #settle(series: Series): void {
    series.waiting = false;
    series.triedAt = this.#options.clock.now();
  }
}

/** The same may be taken later. */
function isPassing(error: SluiceError): boolean {
  const status = statusOf(error);
  // No answer; or the login's files are not there just now.
  if (status === undefined) return error.code !== "API_MALFORMED";
  const { code } = status;
  return code >= 500 || code === 429 || code === 408 || code === 401;
}
