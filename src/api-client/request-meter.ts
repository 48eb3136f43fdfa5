/** Counts and times the requests to the API server. */
import { systemClock } from "../base/clock.ts";

/** Receives request events. Hosts are spelled as in the server's URL: `10.96.0.1:443`. */
export interface RequestMeter {
  /** A request was answered with this status, or failed without an answer (undefined). */
  answered(method: string, host: string, code: number | undefined): void;
  /**
   * An answer is complete, `ms` milliseconds after its request. Not called for watches, which have
   * no natural end.
   */
  completed(method: string, host: string, ms: number): void;
}

/** Counts one request exactly once, however it ends. */
export class MeteredRequest {
  readonly #meter: RequestMeter;
  readonly #method: string;
  readonly #host: string;
  readonly #watch: boolean;
  readonly #started = systemClock.monotonic();
  #counted = false;

  constructor(
    meter: RequestMeter,
    server: string,
    { method, path }: { readonly method: string; readonly path: string },
  ) {
    this.#meter = meter;
    this.#method = method;
    // URL.host would omit the scheme's default port.
    this.#host = /^\w+:\/\/(?:[^/@]*@)?([^/]+)/.exec(server)?.[1] ?? server;
    this.#watch = /[?&]watch=(true|1)\b/.test(path);
  }

  answered(code: number): void {
    this.#count(code);
  }

  failed(): void {
    this.#count(undefined);
  }

  completed(): void {
    if (this.#watch) return;
    this.#meter.completed(this.#method, this.#host, systemClock.monotonic() - this.#started);
  }

  #count(code: number | undefined): void {
    if (this.#counted) return;
    this.#counted = true;
    this.#meter.answered(this.#method, this.#host, code);
  }
}
