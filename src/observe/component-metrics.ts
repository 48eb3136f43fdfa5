/**
 * Defines the metrics that all Kubernetes components have (k8s.io/component-base/metrics): requests
 * to the API server and results of health checks.
 */
import type { RequestMeter } from "../api-client/request-meter.ts";
import { Counter, Gauge, Histogram, type Instrument, valueInstrument } from "./instruments.ts";

/** Seconds. */
const REQUEST_BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];

/**
 * Measures requests to the API server as client-go does (metrics/prometheus/restclient). A request
 * counts once it is answered or has failed. Only complete answers have durations, so watches have
 * none.
 */
export class RestClientMetrics implements RequestMeter {
  readonly #requests = new Counter({
    name: "rest_client_requests_total",
    help: "[ALPHA] Number of HTTP requests, partitioned by status code, method, and host.",
    labels: ["code", "method", "host"],
  });
  readonly #duration = new Histogram(
    {
      name: "rest_client_request_duration_seconds",
      help: "[ALPHA] Request latency in seconds. Broken down by verb, and host.",
      labels: ["verb", "host"],
    },
    REQUEST_BUCKETS,
  );

  answered(method: string, host: string, code: number | undefined): void {
    this.#requests.add(1, code === undefined ? "<error>" : String(code), method, host);
  }

  completed(method: string, host: string, ms: number): void {
    this.#duration.observe(ms / 1000, method, host);
  }

  instruments(): Instrument[] {
    return [this.#requests, this.#duration];
  }
}

/**
 * Holds the content of /metrics/slis: results of the metrics server's health checks
 * (metrics/prometheus/slis). As in kube-proxy, the only check is ping, which succeeds if the
 * process answers.
 */
export class SliMetrics {
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

  /** Records that a check succeeded. No check here can fail. */
  succeeded(name: string, type: string): void {
    this.#check.set(1, name, type);
    this.#checks.add(1, name, type, "success");
  }

  reset(): void {
    this.#check.reset();
    this.#checks.reset();
  }

  instruments(): Instrument[] {
    const started = valueInstrument(
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
