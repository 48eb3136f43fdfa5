// Times at which something made a slice change (its last-change-trigger-time annotation), for the
// host's latency metric: f64 milliseconds since the epoch, one after another.

import { doubleWord, doubleWordsBytes } from "../memory/bytes";
import { allocate } from "../memory/heap";
import { parseTime } from "./text";

/** Later ones are dropped until the host has taken these. */
const TIMES_MAX: u32 = 16384;

let region: usize = 0;
let count: u32 = 0;

/**
 * Takes the annotation's text; without memory, or if it is no time, nothing happens: a metric is no
 * reason to fail.
 */
export function addTriggerTime(at: usize, length: usize): void {
  if (count == TIMES_MAX) return;
  if (!region) region = allocate(doubleWordsBytes(TIMES_MAX));
  const time = parseTime(at, length);
  if (!region || isNaN(time)) return;
  store<f64>(doubleWord(region, count), time);
  count++;
}

export function triggerCount(): u32 {
  return count;
}

export function triggerRegion(): usize {
  return region;
}

export function clearTriggers(): void {
  count = 0;
}
