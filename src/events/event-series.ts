/**
 * Which Events are one (client-go, tools/events/event_broadcaster.go): those alike within six minutes are a
 * series, whose first is created, whose second is told at once, and whose further ones are told every half
 * hour and at its end.
 */

import { type EventObject, seriesKey } from "./event-object.ts";
import type { KubeEvent } from "./events.ts";

/** After so long without another, a series is over. */
export const SERIES_QUIET_MS = 360_000;
/** While it goes on, the server hears of it this often. */
const SERIES_REFRESH_MS = 1_800_000;
/** Of those of which another may come. The oldest is forgotten: another like it begins anew. */
const SERIES_MAX = 1000;

/** One Event and its repetitions. */
export interface Series {
  readonly object: EventObject;
  count: number;
  /** When the last one was, ms since the epoch. */
  lastAt: number;
  /** The count that the server has; 0: it does not have the Event. */
  told: number;
  /** When it was sent last, or given up, ms since the epoch. */
  triedAt: number;
  /** The next one is to be told at once. */
  prompt: boolean;
  /** Waits to be sent, or is being sent. */
  waiting: boolean;
}

export class RecentSeries {
  readonly #byKey = new Map<string, Series>();

  /** Number of those of which another may come. */
  get size(): number {
    return this.#byKey.size;
  }

  /** Counts an event. Returns what is to be sent now, if anything. */
  add(event: KubeEvent, at: number, make: () => EventObject): Series | undefined {
    const key = seriesKey(event);
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      known.count += 1;
      known.lastAt = Math.max(known.lastAt, at);
      return known.prompt && !known.waiting ? known : undefined;
    }
    const series: Series = {
      object: make(),
      count: 1,
      lastAt: at,
      told: 0,
      triedAt: at,
      prompt: false,
      waiting: false,
    };
    this.#byKey.set(key, series);
    if (this.#byKey.size > SERIES_MAX) {
      for (const oldest of this.#byKey.keys()) {
        this.#byKey.delete(oldest);
        break;
      }
    }
    return series;
  }

  /** Ends what was quiet for long enough. Returns those whose count the server should hear now. */
  sweep(now: number): Series[] {
    const due: Series[] = [];
    for (const [key, series] of this.#byKey) {
      const over = now - series.lastAt >= SERIES_QUIET_MS;
      if (over) this.#byKey.delete(key);
      if (series.waiting || series.count === series.told) continue;
      const mayEnd = over && series.told > 0;
      if (mayEnd || now - series.triedAt >= SERIES_REFRESH_MS) due.push(series);
    }
    return due;
  }
}
