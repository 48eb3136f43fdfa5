/**
 * Requests to the API server, as client-go counts them (component-base/metrics/prometheus/restclient): a request
 * counts when it is answered or has failed; the duration is that of whole answers, so not of watches.
 */
import type { RequestMeter } from "../api-client/request-meter.ts";
import { REQUEST_BUCKETS } from "./buckets.ts";
import { Counter, Histogram, type Instrument } from "./instruments.ts";

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
