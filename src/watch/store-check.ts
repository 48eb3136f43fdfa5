/**
 * Compares the version that a reflector has seen with the store's own, some seconds after a lost
 * connection. A store that went back to a backup, or was wiped, may be behind, and a watch from a
 * version ahead of it stays silent.
 */
import { acceptHeader, sendRead } from "../api-client/read-request.ts";
import { statusOf } from "../api-client/status.ts";
import type { Transport } from "../api-client/transport.ts";
import type { Clock } from "../base/clock.ts";
import { rethrowDefect, SluiceError } from "../base/errors.ts";
import { LIST_SILENCE_MS, STORE_CHECK_MS_MAX, WATCH_RETRY_MS } from "../base/limits.ts";
import { JsonList } from "./json-body.ts";
import { type Resource, requestPath } from "./resources.ts";

export interface StoreCheckOptions {
  readonly resource: Resource;
  /** Carries nothing but checks, because a watch occupies its own connection. */
  readonly transport: Transport;
  /** Used in messages. */
  readonly server: string;
  readonly clock: Clock;
  /** Returns a uniform number in [0, 1). */
  readonly random: () => number;
  /** Returns the newest version seen. */
  version(): string;
  /** Reports whether a failed check is worth repeating. */
  isWanted(): boolean;
  /** The store is not behind. */
  onVerified(): void;
  /** The store is at `version`, which is behind `seen`. */
  onRewound(version: string, seen: string): void;
  onFatal(error: unknown): void;
}

export class StoreCheck {
  readonly #options: StoreCheckOptions;
  /** Undefined while no check is pending. */
  #cancel: (() => void) | undefined;

  constructor(options: StoreCheckOptions) {
    this.#options = options;
  }

  /**
   * Checks within STORE_CHECK_MS_MAX. The delay is random, because all nodes of a cluster lose
   * their API server together. Has no effect while a check is pending.
   */
  start(): void {
    if (this.#cancel === undefined) this.#schedule(0);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #schedule(atLeastMs: number): void {
    const { clock, random, onFatal } = this.#options;
    const ms = Math.max(atLeastMs, random() * STORE_CHECK_MS_MAX);
    this.#cancel = clock.after(ms, () => {
      this.#check().catch((thrown: unknown) => onFatal(thrown));
    });
  }

  async #check(): Promise<void> {
    const seen = this.#options.version();
    const read = this.#readVersion();
    const cancel = () => read.abort(stopped(this.#options.server));
    this.#cancel = cancel;
    let version = "";
    let retryAfterMs = WATCH_RETRY_MS;
    try {
      version = await read.version;
    } catch (thrown) {
      rethrowDefect(thrown);
      retryAfterMs = Math.max(retryAfterMs, statusOf(thrown)?.retryAfterMs ?? 0);
    }
    // Stopped, and perhaps started again.
    if (this.#cancel !== cancel) return;
    this.#cancel = undefined;
    if (version === "") {
      // A lost connection starts the next check when it is back.
      if (this.#options.isWanted()) this.#schedule(retryAfterMs);
    } else if (isBefore(version, seen)) this.#options.onRewound(version, seen);
    else this.#options.onVerified();
  }

  /** Reads one object from the store itself, not from a server's cache, for its list's version. */
  #readVersion(): { readonly version: Promise<string>; abort(reason: SluiceError): void } {
    const { resource, transport, server, clock } = this.#options;
    let version = "";
    const { done, abort } = sendRead({
      transport,
      clock,
      what: `list ${resource.name}`,
      server,
      path: requestPath(resource, { limit: "1" }),
      accept: acceptHeader("list", false),
      silenceMs: LIST_SILENCE_MS,
      open: () =>
        new JsonList(
          resource,
          () => false,
          () => {},
        ),
      onFeed: (feed) => {
        version = feed.resourceVersion || version;
      },
    });
    return { version: done.then(() => version), abort };
  }
}

function stopped(server: string): SluiceError {
  return new SluiceError("API_UNREACHABLE", "check of the store stopped", server);
}

/**
 * Versions are decimal numbers. The API guarantees this since Kubernetes 1.35, and it was always
 * so.
 */
function isBefore(version: string, other: string): boolean {
  return version.length !== other.length ? version.length < other.length : version < other;
}
