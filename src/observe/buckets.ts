/** Bounds of histograms, in seconds. */
import { exponentialBuckets } from "./instruments.ts";

/** Upstream's for durations of syncs (pkg/proxy/metrics): 1 ms to 16 s. */
export const SYNC_BUCKETS = exponentialBuckets(0.001, 2, 15);

/** Upstream's for network_programming_duration_seconds (pkg/proxy/metrics). */
export const PROGRAMMING_BUCKETS = [
  0.25,
  0.5,
  ...range(1, 59, 1),
  ...range(60, 115, 5),
  ...range(120, 300, 30),
];

/** Upstream's for requests to the API server (component-base/metrics/prometheus/restclient). */
export const REQUEST_BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];

/** From 50 us, where a sync of one change lies, to 6.5 s. */
export const FINE_SYNC_BUCKETS = exponentialBuckets(0.00005, 2, 18);

/** From 1 ms to 65 s. */
export const LATENCY_BUCKETS = exponentialBuckets(0.001, 2, 17);

function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: (to - from) / step + 1 }, (_, index) => from + index * step);
}
