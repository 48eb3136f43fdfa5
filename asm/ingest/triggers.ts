// Collects the times at which a slice's change was triggered (its last-change-trigger-time
// annotation). The host uses them for its latency metric. They are stored as consecutive f64, in
// milliseconds since the epoch.

import { doubleWord, doubleWordsBytes } from "../memory/bytes";
import { allocate } from "../memory/heap";
import { parseTime } from "./text";

/** When this many wait for the host, further ones are dropped. */
const TIMES_MAX: u32 = 16384;

let region: usize = 0;
let count: u32 = 0;

/**
 * Adds the annotation's time. Ignores it if it is invalid or memory cannot grow, because a metric
 * must not cause a failure.
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
