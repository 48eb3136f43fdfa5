/** Prints instruments as Prometheus text. */
import { systemClock, yieldToEventLoop } from "../base/clock.ts";
import type { Instrument } from "./instruments.ts";

/** The body of a scrape response and its Content-Type. */
export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

/** Samples printed without a pause (1 to 2 ms), so that a large scrape does not delay changes. */
const AT_ONCE = 500;

/**
 * Prints these instruments in order, in the Prometheus text format 0.0.4, with their current
 * values. The first call loads prom-client. `rest` lets other work run between parts.
 */
export async function expose(
  instruments: readonly Instrument[],
  rest: () => Promise<void> = () => yieldToEventLoop(systemClock),
): Promise<Exposition> {
  const { default: Registry } = await import("prom-client/lib/registry.js");
  const registry = new Registry();
  const taken = instruments.map((each) => ({ ...headOf(each), samples: each.samples() }));
  const printed: string[] = [];
  let room = AT_ONCE;
  for (const { samples, ...head } of taken) {
    const parts: string[] = [];
    for (let at = 0; at === 0 || at < samples.length; ) {
      if (room <= 0) {
        await rest();
        room = AT_ONCE;
      }
      const values = samples.slice(at, at + room);
      const text = await registry.getMetricsAsString({ get: async () => ({ ...head, values }) });
      parts.push(at === 0 ? text : withoutHead(text));
      at += room;
      // Count the head as one line.
      room -= values.length + 1;
    }
    printed.push(parts.join("\n"));
  }
  return { contentType: registry.contentType, body: `${printed.join("\n\n")}\n` };
}

function headOf({ name, help, type }: Instrument) {
  return { name, help, type };
}

/** Removes HELP and TYPE, which only the first part of an instrument has. */
function withoutHead(text: string): string {
  return text.split("\n").slice(2).join("\n");
}
