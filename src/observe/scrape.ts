/** Everything that a scrape of /metrics shows. */
import type { Config } from "../config/config.ts";
import { buildInfo } from "./build-info.ts";
import type { ConnectionCounters } from "./connections.ts";
import type { Instrument } from "./instruments.ts";
import type { Metrics, ScrapeFacts } from "./metrics.ts";
import { processInstruments } from "./process.ts";

export interface ScrapeOptions extends ScrapeFacts {
  readonly metrics: Metrics;
  readonly connections: Pick<ConnectionCounters, "instruments">;
  readonly config: Config;
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

/** In the order in which they are printed: upstream's, ours, the process. */
export function scrapedInstruments(options: ScrapeOptions): Instrument[] {
  const { metrics, connections, config, version, startedAt } = options;
  return [
    ...metrics.instruments(options),
    ...connections.instruments(),
    ...buildInfo(version, config),
    ...processInstruments(startedAt),
  ];
}
