/** Prints instruments as Prometheus text. */
import type { Instrument } from "./instruments.ts";

/** The body of an answer to a scrape, and what its Content-Type header must say. */
export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

/** The Prometheus text format 0.0.4 of these instruments, in this order. Loads prom-client when first called. */
export async function expose(instruments: readonly Instrument[]): Promise<Exposition> {
  const { default: Registry } = await import("prom-client/lib/registry.js");
  const registry = new Registry();
  for (const instrument of instruments) {
    const { name, help, type } = instrument;
    registry.registerMetric({
      name,
      get: async () => ({ name, help, type, values: instrument.samples() }),
    });
  }
  return { contentType: registry.contentType, body: await registry.metrics() };
}
