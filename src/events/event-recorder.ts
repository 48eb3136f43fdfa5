/**
 * Writes Events to the API server in the background: one request at a time, on a connection that is
 * open only while Events wait. A failure here affects nothing else.
 *
 * Events that differ only in time and note form a series, with client-go's rules
 * (tools/events/event_broadcaster.go). The first one is created. The second is sent at once as a
 * count, later ones every half hour and when the series ends.
 */
import type { ClusterAccess } from "../api-client/access.ts";
import { Backoff } from "../api-client/backoff.ts";
import { statusOf } from "../api-client/status.ts";
import {
  openTransport,
  type WritableTransport,
  type WriteRequest,
} from "../api-client/transport.ts";
import { type PendingWrite, sendWrite } from "../api-client/write-request.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import {
  type EventObject,
  eventObject,
  eventRequest,
  eventSeries,
  seriesKey,
} from "./event-object.ts";
import type { EventRecorder, KubeEvent } from "./events.ts";

export interface EventRecorderOptions {
  readonly access: ClusterAccess;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  /** The machine's name, not the Node's. */
  readonly hostname: string;
  /** Called when an Event is lost: the server refused it, or newer ones displaced it. */
  readonly onDropped: () => void;
  /** For tests. */
  readonly openTransport?: (access: ClusterAccess) => WritableTransport;
}

/** Maximum number of Events that wait behind the one being sent. The oldest one is dropped. */
const QUEUE_MAX = 100;
/** Between two Events: kube-proxy's limit of five requests a second. */
const PAUSE_MS = 200;
/** The server must answer within this time. */
const ANSWER_TIMEOUT_MS = 10_000;
/** Between two attempts to send the same Event. */
const RETRY_MS = 1000;
const RETRY_MS_MAX = 60_000;
/**
 * Temporary refusals before an Event is dropped, as in client-go. A missing answer does not count.
 */
const REFUSALS_MAX = 12;
/** A series ends after this long without another Event. */
const SERIES_QUIET_MS = 360_000;
/** While a series continues, its count is sent this often. */
const SERIES_REFRESH_MS = 1_800_000;
/**
 * Maximum number of series. Another one displaces the oldest. The next Event of that one starts a
 * new series.
 */
const SERIES_MAX = 1000;

/** An Event and its repetitions. Times are in ms since the epoch. */
interface EventSeriesState {
  readonly object: EventObject;
  count: number;
  lastAt: number;
  /** The count that the server has. 0 if it does not have the Event. */
  sentCount: number;
  /** When the last attempt to send it ended. */
  doneAt: number;
  /** In the queue, or being sent. */
  waiting: boolean;
}

export class ApiEventRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #log: Logger;
  readonly #backoff: Backoff;
  /** By seriesKey. */
  readonly #series = new Map<string, EventSeriesState>();
  readonly #queue: EventSeriesState[] = [];
  #transport: WritableTransport | undefined;
  #request: PendingWrite | undefined;
  /** Undefined while no Event is being sent. */
  #sending: Promise<void> | undefined;
  #created = 0n;
  #cancelSweep: (() => void) | undefined;
  #endPause: (() => void) | undefined;
  /** The last Event was lost, and the log says so. */
  #lossLogged = false;
  #closed = false;

  constructor(options: EventRecorderOptions) {
    const { clock, random } = options;
    this.#options = options;
    this.#log = options.log.from("event-recorder.ts");
    this.#backoff = new Backoff({ firstMs: RETRY_MS, maxMs: RETRY_MS_MAX, clock, random });
  }

  record(event: KubeEvent, at: number = this.#options.clock.now()): void {
    if (this.#closed) return;
    const key = seriesKey(event);
    const known = this.#series.get(key);
    if (known !== undefined) {
      known.count += 1;
      known.lastAt = Math.max(known.lastAt, at);
      if (known.count === 2 && known.sentCount === 1) this.#enqueue(known);
      return;
    }
    const { clock, hostname } = this.#options;
    // Two Events in the same millisecond need different names.
    const unique = BigInt(Math.round(at)) * 1_000_000n + this.#created++;
    const object = eventObject(event, { at, unique, hostname });
    const series = { object, count: 1, lastAt: at, sentCount: 0, doneAt: at, waiting: false };
    const [oldest] = this.#series.keys();
    if (oldest !== undefined && this.#series.size === SERIES_MAX) this.#series.delete(oldest);
    this.#series.set(key, series);
    this.#cancelSweep ??= clock.after(SERIES_QUIET_MS, () => this.#sweep());
    this.#enqueue(series);
  }

  async flush(ms: number): Promise<void> {
    if (this.#sending === undefined) return;
    const { promise: timeout, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(ms, resolve);
    await Promise.race([this.#sending, timeout]);
    cancel();
  }

  close(): void {
    this.#closed = true;
    this.#queue.length = 0;
    this.#cancelSweep?.();
    this.#endPause?.();
    this.#backoff.wake();
    this.#request?.abort(new SluiceError("API_UNREACHABLE", "write Event: stopped"));
    this.#disconnect();
  }

  /** Ends quiet series, and sends the counts that are due. */
  #sweep(): void {
    const { clock } = this.#options;
    const now = clock.now();
    for (const [key, series] of this.#series) {
      const ended = now - series.lastAt >= SERIES_QUIET_MS;
      if (ended) this.#series.delete(key);
      if (series.waiting || series.count === series.sentCount) continue;
      const refresh = now - series.doneAt >= SERIES_REFRESH_MS;
      if (refresh || (ended && series.sentCount > 0)) this.#enqueue(series);
    }
    this.#cancelSweep =
      this.#series.size === 0 ? undefined : clock.after(SERIES_QUIET_MS, () => this.#sweep());
  }

  #enqueue(series: EventSeriesState): void {
    series.waiting = true;
    this.#queue.push(series);
    const oldest = this.#queue.length > QUEUE_MAX ? this.#queue.shift() : undefined;
    if (oldest !== undefined) this.#drop(oldest, `more than ${QUEUE_MAX} Events wait to be sent`);
    this.#sending ??= this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      await this.#sendOne(next);
      if (this.#queue.length > 0) await this.#pause();
    }
    this.#disconnect();
    this.#sending = undefined;
  }

  #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(PAUSE_MS, resolve);
    this.#endPause = () => {
      cancel();
      resolve();
    };
    return promise;
  }

  /** Retries until the server has the count, or the Event is lost. */
  async #sendOne(series: EventSeriesState): Promise<void> {
    this.#backoff.reset();
    let refusals = 0;
    while (!this.#closed) {
      const { count } = series;
      const error = await this.#attempt(series);
      if (this.#closed) return;
      if (error === undefined) {
        this.#lossLogged = false;
        series.sentCount = count;
        this.#markDone(series);
        // More Events arrived while the first one was being sent.
        if (count === 1 && series.count > 1) this.#enqueue(series);
        return;
      }
      const status = statusOf(error);
      if (status !== undefined) refusals += 1;
      if (!isTemporary(error) || refusals === REFUSALS_MAX) {
        this.#drop(series, messageOf(error), status?.code);
        return;
      }
      this.#log.debug(2, "Failed to write an Event; retrying", { err: messageOf(error) });
      await this.#backoff.wait(status?.retryAfterMs);
    }
  }

  #drop(series: EventSeriesState, error: string, status?: number): void {
    // While the series continues, its next count waits for the next refresh.
    this.#markDone(series);
    this.#options.onDropped();
    if (this.#lossLogged) return;
    this.#lossLogged = true;
    this.#log.warn("Lost an Event; further losses are only counted", {
      reason: series.object.reason,
      error,
      ...(status === 403 && { needs: "create, patch and update on events.events.k8s.io" }),
    });
  }

  #markDone(series: EventSeriesState): void {
    series.waiting = false;
    series.doneAt = this.#options.clock.now();
  }

  /** Sends the count. Resolves to the error if it did not arrive; never rejects. */
  async #attempt({
    object,
    count,
    lastAt,
    sentCount,
  }: EventSeriesState): Promise<SluiceError | undefined> {
    const series = count > 1 ? eventSeries(count, lastAt) : undefined;
    if (sentCount > 0) {
      const error = await this.#write("patch", object, eventRequest(object, series, true));
      // 404: the server deletes an Event after one hour.
      if (error === undefined || statusOf(error)?.code !== 404) return error;
    }
    const error = await this.#write("create", object, eventRequest(object, series, false));
    // The count of a series did not arrive if the server answers 404 to PATCH and then 409 to POST.
    if (error === undefined || sentCount > 0) return error;
    // 409: an earlier attempt arrived, and its answer was lost.
    return statusOf(error)?.code === 409 ? undefined : error;
  }

  async #write(
    verb: string,
    { metadata: { namespace, name } }: EventObject,
    request: WriteRequest,
  ): Promise<SluiceError | undefined> {
    const { access, clock } = this.#options;
    const what = `${verb} Event ${namespace}/${name}`;
    try {
      this.#transport ??= (this.#options.openTransport ?? openTransport)(access);
      const transport = this.#transport;
      const { server } = access;
      this.#request = sendWrite({
        transport,
        clock,
        what,
        server,
        request,
        timeoutMs: ANSWER_TIMEOUT_MS,
      });
      await this.#request.done;
      return undefined;
    } catch (thrown) {
      if (thrown instanceof SluiceError) return thrown;
      return new SluiceError("API_MALFORMED", messageOf(thrown), undefined, { cause: thrown });
    } finally {
      this.#request = undefined;
    }
  }

  #disconnect(): void {
    this.#transport?.close();
    this.#transport = undefined;
  }
}

/** Reports whether the server may accept the same Event later. */
function isTemporary(error: SluiceError): boolean {
  const status = statusOf(error);
  // No answer, or the credential files are missing at the moment.
  if (status === undefined) return error.code !== "API_MALFORMED";
  const { code } = status;
  return code >= 500 || code === 429 || code === 408 || code === 401;
}
