/** Prints instruments as Prometheus text. */
import { systemClock, turn } from "../base/clock.ts";
import type { Instrument } from "./instruments.ts";

/** The body of an answer to a scrape, and what its Content-Type header must say. */
export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

/** Samples printed in one go: a millisecond or two, so that a scrape of many holds up no change. */
const AT_ONCE = 500;

/**
 * The Prometheus text format 0.0.4 of these instruments, in this order, as of now. Loads prom-client when first
 * called. `rest` lets everything else have its turn.
 */
export async function expose(
  instruments: readonly Instrument[],
  rest: () => Promise<void> = () => turn(systemClock),
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
      // Its head is a line too.
      room -= values.length + 1;
    }
    printed.push(parts.join("\n"));
  }
  return { contentType: registry.contentType, body: `${printed.join("\n\n")}\n` };
}

function headOf({ name, help, type }: Instrument) {
  return { name, help, type };
}

/** What is printed in parts has its HELP and TYPE once. */
function withoutHead(text: string): string {
  return text.split("\n").slice(2).join("\n");
}
