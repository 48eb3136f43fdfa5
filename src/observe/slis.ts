/**
 * What /metrics/slis shows: how the health checks of the metrics server came out (component-base/metrics/
 * prometheus/slis). The one check there, ping, is as upstream's: that the process answers.
 */
import { Counter, Gauge, type Instrument, readingOf } from "./instruments.ts";

export class Slis {
  readonly #check = new Gauge({
    name: "kubernetes_healthcheck",
    help: "[STABLE] This metric records the result of a single healthcheck.",
    labels: ["name", "type"],
  });
  readonly #checks = new Counter({
    name: "kubernetes_healthchecks_total",
    help: "[STABLE] This metric records the results of all healthcheck.",
    labels: ["name", "type", "status"],
  });
  readonly #startedAt: number;

  /** `startedAt`: ms since the epoch. */
  constructor(startedAt: number) {
    this.#startedAt = startedAt;
  }

  /** A check came out well: there are no others here. */
  succeeded(name: string, type: string): void {
    this.#check.set(1, name, type);
    this.#checks.add(1, name, type, "success");
  }

  /** As if nothing had been checked yet. */
  reset(): void {
    this.#check.reset();
    this.#checks.reset();
  }

  instruments(): Instrument[] {
    const started = readingOf(
      "gauge",
      {
        name: "process_start_time_seconds",
        help: "[ALPHA] Start time of the process since unix epoch in seconds.",
      },
      this.#startedAt / 1000,
    );
    return [this.#check, this.#checks, started];
  }
}
