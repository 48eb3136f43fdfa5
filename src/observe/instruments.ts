/**
 * Keeps counters, gauges and histograms as plain numbers. The sync loop records into them from the
 * start; the library that prints them is loaded at the first scrape (exposition.ts).
 */

/** The name and help of an instrument, and the names of its labels in order. */
export interface Definition {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

/** One line of the exposition. */
export interface Sample {
  readonly labels: { readonly [label: string]: string };
  readonly value: number;
  /** Set if it differs from the instrument's name: `_bucket`, `_sum` or `_count`. */
  readonly metricName?: string;
}

/** Anything that can be printed at a scrape. */
export interface Instrument {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** The label names, without the `le` of a histogram. */
  readonly labels: readonly string[];
  /** Returns the current values; for a histogram the cumulative buckets, `_sum` and `_count`. */
  samples(): Sample[];
}

interface SeriesEntry<State> {
  readonly labels: Sample["labels"];
  readonly state: State;
}

/** Keeps one state per set of label values. Without labels there is one state from the start. */
class Series<State> {
  readonly #definition: Definition;
  readonly #fresh: () => State;
  readonly #entries = new Map<string, SeriesEntry<State>>();

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
        `record ${name}: invalid label values [${values}]: must match the labels [${labels}]`,
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

  all(): SeriesEntry<State>[] {
    return [...this.#entries.values()];
  }
}

/** Keeps one number per set of label values. */
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
   * Adds to the number of these label values, which starts at 0.
   * @throws RangeError if the number of label values differs from the definition
   */
  add(amount: number, ...labels: readonly string[]): void {
    this.series.at(labels).value += amount;
  }

  samples(): Sample[] {
    return this.series.all().map(({ labels, state }) => ({ labels, value: state.value }));
  }

  /** Removes everything recorded. */
  reset(): void {
    this.series.clear();
  }
}

/** A number that only grows. */
export class Counter extends Scalar implements Instrument {
  readonly type = "counter";
}

/** A number that can grow and shrink. */
export class Gauge extends Scalar implements Instrument {
  readonly type = "gauge";

  /** @throws RangeError like `add` */
  set(value: number, ...labels: readonly string[]): void {
    this.series.at(labels).value = value;
  }
}

/** Counts observations by size. `buckets` are ascending upper bounds; +Inf is implied. */
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
   * Records one value, in the unit of the buckets. A value equal to a bound belongs to that bucket.
   * @throws RangeError if the number of label values differs from the definition
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

/** Returns an instrument for a number that is read at the scrape. */
export function valueInstrument(
  type: "counter" | "gauge",
  definition: Pick<Definition, "name" | "help">,
  value: number,
): Instrument {
  return { ...definition, type, labels: [], samples: () => [{ labels: {}, value }] };
}

/** Returns `count` bounds, from `start`, each `factor` times the previous one. */
export function exponentialBuckets(start: number, factor: number, count: number): number[] {
  const digits = 12;
  return Array.from({ length: count }, (_, k) => Number((start * factor ** k).toPrecision(digits)));
}
