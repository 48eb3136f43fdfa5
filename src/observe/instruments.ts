/**
 * Counters, gauges and histograms as plain numbers. The sync loop records into these from the first
 * millisecond on; the library that prints them is loaded at the first scrape (exposition.ts).
 */

/** What an instrument is: its name and help in the exposition, and the names of its labels, in order. */
export interface Definition {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

/** One line of the exposition. */
export interface Sample {
  readonly labels: { readonly [label: string]: string };
  readonly value: number;
  /** When it differs from the instrument's name: `_bucket`, `_sum`, `_count`. */
  readonly metricName?: string;
}

/** Whatever can be printed at a scrape. */
export interface Instrument {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** Names of its labels; those of a histogram's buckets without `le`. */
  readonly labels: readonly string[];
  /** The values of this moment; of a histogram its cumulative buckets, `_sum` and `_count`. */
  samples(): Sample[];
}

interface Entry<State> {
  readonly labels: Sample["labels"];
  readonly state: State;
}

/** The states of an instrument by label values. Without labels there is one, from the start. */
class Series<State> {
  readonly #definition: Definition;
  readonly #fresh: () => State;
  readonly #entries = new Map<string, Entry<State>>();

  constructor(definition: Definition, fresh: () => State) {
    this.#definition = definition;
    this.#fresh = fresh;
    if (!definition.labels) this.at([]);
  }

  at(values: readonly string[]): State {
    const key = values.join("\0");
    const known = this.#entries.get(key);
    if (known) return known.state;
    const { name, labels = [] } = this.#definition;
    if (values.length !== labels.length) {
      throw new RangeError(
        `Cannot record ${name}: its labels are [${labels}]: current value is [${values}]`,
      );
    }
    const entry = {
      labels: Object.fromEntries(labels.map((label, index) => [label, values[index] ?? ""])),
      state: this.#fresh(),
    };
    this.#entries.set(key, entry);
    return entry.state;
  }

  clear(): void {
    this.#entries.clear();
    if (!this.#definition.labels) this.at([]);
  }

  all(): Entry<State>[] {
    return [...this.#entries.values()];
  }
}

/** One number for each set of label values. */
class Scalar {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  protected readonly series: Series<{ value: number }>;

  constructor(definition: Definition) {
    this.name = definition.name;
    this.help = definition.help;
    this.labels = definition.labels ?? [];
    this.series = new Series(definition, () => ({ value: 0 }));
  }

  /**
   * Adds to the number of these label values, which is 0 before.
   * @throws RangeError when there are not as many as the definition has labels
   */
  add(amount: number, ...labels: readonly string[]): void {
    this.series.at(labels).value += amount;
  }

  samples(): Sample[] {
    return this.series.all().map(({ labels, state }) => ({ labels, value: state.value }));
  }

  /** As if nothing had been recorded. */
  reset(): void {
    this.series.clear();
  }
}

/** Only grows. */
export class Counter extends Scalar implements Instrument {
  readonly type = "counter";
}

/** Goes up and down. */
export class Gauge extends Scalar implements Instrument {
  readonly type = "gauge";

  /** @throws RangeError as `add` */
  set(value: number, ...labels: readonly string[]): void {
    this.series.at(labels).value = value;
  }
}

/** Counts observations by size. `buckets` are upper bounds, ascending; +Inf is implied. */
export class Histogram implements Instrument {
  readonly type = "histogram";
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly #buckets: readonly number[];
  readonly #series: Series<{ readonly counts: Float64Array; sum: number }>;

  constructor(definition: Definition, buckets: readonly number[]) {
    this.name = definition.name;
    this.help = definition.help;
    this.labels = definition.labels ?? [];
    this.#buckets = buckets;
    this.#series = new Series(definition, () => ({
      counts: new Float64Array(buckets.length + 1),
      sum: 0,
    }));
  }

  /**
   * Counts one value, in the unit of the buckets; one on a bound belongs to that bound.
   * @throws RangeError when there are not as many label values as the definition has labels
   */
  observe(value: number, ...labels: readonly string[]): void {
    const state = this.#series.at(labels);
    const bucket = this.#buckets.findIndex((bound) => value <= bound);
    const at = bucket < 0 ? this.#buckets.length : bucket;
    state.counts[at] = (state.counts[at] ?? 0) + 1;
    state.sum += value;
  }

  samples(): Sample[] {
    const samples: Sample[] = [];
    for (const { labels, state } of this.#series.all()) {
      let total = 0;
      for (const [index, count] of state.counts.entries()) {
        total += count;
        const le = String(this.#buckets[index] ?? "+Inf");
        samples.push({
          labels: { ...labels, le },
          value: total,
          metricName: `${this.name}_bucket`,
        });
      }
      samples.push({ labels, value: state.sum, metricName: `${this.name}_sum` });
      samples.push({ labels, value: total, metricName: `${this.name}_count` });
    }
    return samples;
  }
}

/** A number that is known only when it is asked for. */
export function readingOf(
  type: "counter" | "gauge",
  definition: Pick<Definition, "name" | "help">,
  value: number,
): Instrument {
  return { ...definition, type, labels: [], samples: () => [{ labels: {}, value }] };
}

/** `count` bounds from `start`, each `factor` times the one before. */
export function exponentialBuckets(start: number, factor: number, count: number): number[] {
  const digits = 12;
  return Array.from({ length: count }, (_, k) => Number((start * factor ** k).toPrecision(digits)));
}
