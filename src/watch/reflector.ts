/**
 * Keeps a sink in sync with one resource of the API server. It reads all objects once, then
 * watches. If a watch ends or breaks, it resumes from the last version seen. Versions, delays and
 * error handling follow client-go's reflector.
 */

import { Backoff } from "../api-client/backoff.ts";
import { acceptHeader, type PendingRead, sendRead } from "../api-client/read-request.ts";
import {
  isResourceVersionTooNew,
  type Status,
  statusError,
  statusOf,
} from "../api-client/status.ts";
import type { Transport } from "../api-client/transport.ts";
import type { Clock } from "../base/clock.ts";
import { isDefect, SluiceError, withHint } from "../base/errors.ts";
import {
  ABSENT_RESOURCE_RETRY_MS,
  LIST_PAGE,
  LIST_SILENCE_MS,
  WATCH_HEALTHY_MS,
  WATCH_RETRY_MS,
  WATCH_RETRY_MS_MAX,
  WATCH_SILENCE_MS,
  WATCH_TIMEOUT_S_MIN,
} from "../base/limits.ts";
import type { FeedResult } from "../core/core.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import { type Resource, requestPath } from "./resources.ts";
import type { ObjectSink } from "./sink.ts";
import { StoreCheck } from "./store-check.ts";

const UNREACHABLE_HINT = "check the address, the firewall and the certificate";

export interface ReflectorOptions {
  readonly resource: Resource;
  readonly sink: ObjectSink;
  readonly transport: Transport;
  /** Carries the comparisons with the store's version. Reflectors may share it. */
  readonly checkTransport: Transport;
  /** Used in messages. */
  readonly server: string;
  readonly clock: Clock;
  /** Returns a uniform number in [0, 1). */
  readonly random: () => number;
  /** Reads the initial state by WatchList even if a list from the server's cache would do. */
  readonly watchList: boolean;
  /** The sink holds a complete state. Called again after each complete re-read. */
  onListed(): void;
  /** A complete read succeeded, or a request failed. Called each time. */
  onAttempted(): void;
  /** Objects went into the sink. */
  onChange(): void;
  readonly onProblems: ReportProblems;
  /** A bug in Sluice or in its core: reading has stopped, and the process must exit. */
  onFatal(error: unknown): void;
}

export interface ReflectorStatus {
  readonly resource: string;
  readonly listed: boolean;
  /** True if the server is answering a request. */
  readonly connected: boolean;
  /** "" if the last attempt succeeded. */
  readonly lastError: string;
  /** Unix ms of the last data received; 0 if there was none. */
  readonly lastEventAt: number;
  readonly resourceVersion: string;
}

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #backoff: Backoff;
  readonly #check: StoreCheck;
  #exchange: PendingRead | undefined;
  #stopped = false;

  /** Newest version seen; "" before the first complete read. */
  #version = "";
  /** True if the sink is complete up to `#version`, so that a watch can continue from there. */
  #current = false;
  /** True if the next read must come from the store itself, not from a server's cache. */
  #consistent = false;
  /** True if the store may have gone back in time since its version was last known. */
  #doubtful = false;
  /** Count of the transport's connections at the last answer. */
  #connections = 0;
  /** Features that the server turned out not to support. */
  #protobufRefused = false;
  #watchListRefused = false;
  #pagesRefused = false;
  /** True if new credentials were tried since the last success. */
  #relogin = false;
  /** True from a malformed answer until a complete list or another error. */
  #malformedLast = false;
  /** The reason why a watch was ended because of its store. */
  #rewound: SluiceError | undefined;
  /** True if a version was too old or too new since the last success. */
  #expired = false;

  #listed = false;
  #connected = false;
  #lastError = "";
  /** Contains at most one problem. */
  readonly #problems: ProblemSet;
  #lastEventAt = 0;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#problems = new ProblemSet(options.onProblems);
    this.#backoff = new Backoff({
      firstMs: WATCH_RETRY_MS,
      maxMs: WATCH_RETRY_MS_MAX,
      clock: options.clock,
      random: options.random,
    });
    const { resource, server, clock, random } = options;
    this.#check = new StoreCheck({
      resource,
      server,
      clock,
      random,
      transport: options.checkTransport,
      version: () => this.#version,
      isWanted: () => this.#connected && this.#doubtful,
      onVerified: () => {
        this.#doubtful = false;
      },
      onRewound: (version, seen) => this.#onRewound(version, seen),
      onFatal: options.onFatal,
    });
  }

  start(): void {
    this.#run().catch((thrown: unknown) => this.#options.onFatal(thrown));
  }

  stop(): void {
    this.#stopped = true;
    this.#exchange?.abort(
      new SluiceError("API_UNREACHABLE", "reflector stopped", this.#options.server),
    );
    this.#check.stop();
    this.#backoff.wake();
    this.#options.transport.close();
  }

  status(): ReflectorStatus {
    return {
      resource: this.#options.resource.name,
      listed: this.#listed,
      connected: this.#connected,
      lastError: this.#lastError,
      lastEventAt: this.#lastEventAt,
      resourceVersion: this.#version,
    };
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        if (this.#current) await this.#watch(false);
        else if (this.#wantsWatchList()) await this.#watch(true);
        else await this.#list();
      } catch (thrown) {
        if (this.#stopped) return;
        if (isDefect(thrown) || !(thrown instanceof SluiceError)) throw thrown;
        await this.#recover(thrown);
      }
      this.#connected = false;
    }
  }

  #wantsWatchList(): boolean {
    return (this.#options.watchList || this.#consistent) && !this.#watchListRefused;
  }

  /**
   * Lists from the server's cache, but no older than the last version seen. If `#consistent`, lists
   * in pages from the store itself.
   */
  async #list(): Promise<void> {
    const { sink } = this.#options;
    const from = this.#consistent ? "" : this.#version || "0";
    const limit = this.#consistent && !this.#pagesRefused ? String(LIST_PAGE) : "";
    let token = "";
    let version = "";
    sink.beginReplace();
    do {
      const parameters = { resourceVersion: token === "" ? from : "", limit, continue: token };
      token = "";
      let complete = false;
      await this.#get("list", parameters, (feed) => {
        complete ||= feed.listEnd === true;
        version = feed.resourceVersion || version;
        token = feed.continueToken || token;
      });
      if (!complete) throw this.#malformed("the response ended before the list was complete");
    } while (token !== "");
    if (version === "") {
      throw this.#malformed("the response has no metadata.resourceVersion");
    }
    this.#complete(version);
  }

  /** @param initial starts with all objects (WatchList), which a marked bookmark ends */
  async #watch(initial: boolean): Promise<void> {
    const { sink, clock, random } = this.#options;
    const seconds = Math.floor(WATCH_TIMEOUT_S_MIN * (1 + random()));
    const from = initial && this.#consistent ? "" : this.#version;
    const started = clock.monotonic();
    let brought = false;
    if (initial) sink.beginReplace();
    const ending = await this.#get(
      "watch",
      {
        watch: "true",
        allowWatchBookmarks: "true",
        timeoutSeconds: String(seconds),
        resourceVersion: from,
        sendInitialEvents: initial ? "true" : "",
        resourceVersionMatch: initial ? "NotOlderThan" : "",
      },
      (feed) => {
        brought ||= feed.objects || feed.resourceVersion !== undefined;
        if (brought && this.#current) this.#succeeded();
        if (feed.initialEnd && !this.#current) this.#complete(feed.resourceVersion ?? "");
        else if (this.#current) this.#version = feed.resourceVersion || this.#version;
      },
    );
    if (initial && !this.#current) {
      throw this.#unreachable("watch", "the server ended it before all initial events arrived");
    }
    // A watch from a version ahead of the store stays silent forever.
    if (ending === "silent") this.#doubtful = true;
    else if (brought || clock.monotonic() - started >= WATCH_HEALTHY_MS) this.#succeeded();
    else
      throw this.#unreachable(
        "watch",
        `the server ended it within ${WATCH_HEALTHY_MS / 1000} s, without events`,
      );
  }

  async #get(
    verb: "list" | "watch",
    parameters: { readonly [name: string]: string },
    onFeed: (feed: FeedResult) => void,
  ): Promise<"end" | "silent"> {
    const { resource, sink, transport, server, clock } = this.#options;
    const what = `${verb} ${resource.name}`;
    const protobuf = sink.protobuf && !this.#protobufRefused;
    this.#exchange = sendRead({
      transport,
      clock,
      what,
      server,
      path: requestPath(resource, parameters),
      accept: acceptHeader(verb, protobuf),
      silenceMs: verb === "list" ? LIST_SILENCE_MS : WATCH_SILENCE_MS,
      open: (encoding) => {
        this.#connected = true;
        // Whether an answer is well-formed is not known before its end.
        if (!this.#malformedLast) this.#report(undefined);
        this.#doubtNewConnection();
        if (this.#current && this.#doubtful) this.#check.start();
        return sink.open(verb, encoding);
      },
      onFeed: (feed) => {
        this.#lastEventAt = clock.now();
        onFeed(feed);
        if (feed.objects) this.#options.onChange();
        if (feed.status !== undefined) {
          throw statusError(what, server, { reason: "", retryAfterMs: 0, ...feed.status });
        }
      },
    });
    const ending = await this.#exchange.done;
    if (verb === "list" && ending === "silent") {
      throw this.#unreachable("list", `no data from the server for ${LIST_SILENCE_MS / 1000} s`);
    }
    return ending;
  }

  /** Behind a new connection, there may be another server, or another store. */
  #doubtNewConnection(): void {
    const { connections } = this.#options.transport;
    if (connections !== this.#connections) this.#doubtful = true;
    this.#connections = connections;
  }

  #onRewound(version: string, seen: string): void {
    if (!this.#current) return;
    const { resource, server } = this.#options;
    const cause = `the API store went back from version ${seen} to ${version}; reading it again`;
    this.#rewound = new SluiceError("API_GONE", `watch ${resource.name}: ${cause}`, server);
    this.#readStore();
    this.#exchange?.abort(this.#rewound);
    this.#backoff.wake();
  }

  #complete(version: string): void {
    this.#options.sink.endReplace();
    this.#version = version;
    this.#current = true;
    this.#consistent = false;
    this.#doubtful = false;
    this.#listed = true;
    this.#malformedLast = false;
    this.#report(undefined);
    this.#relogin = false;
    this.#options.onAttempted();
    this.#options.onListed();
    this.#options.onChange();
  }

  #succeeded(): void {
    this.#backoff.reset();
    this.#relogin = false;
    this.#expired = false;
  }

  #readStore(): void {
    this.#current = false;
    this.#consistent = true;
  }

  /** Decides how to continue after an error. Waits unless an immediate retry is right. */
  async #recover(error: SluiceError): Promise<void> {
    const status = statusOf(error);
    this.#doubtful = true;
    if (error === this.#rewound) {
      this.#report(error);
      return;
    }
    this.#malformedLast = error.code === "API_MALFORMED";
    if (this.#malformedLast || error.code === "CORE_MEMORY") this.#current = false;
    if (status !== undefined && this.#adapt(status)) return;
    const absent = status?.code === 404 && this.#options.resource.optional;
    if (!absent) this.#report(error);
    this.#connected = false;
    this.#options.onAttempted();
    await this.#backoff.wait(absent ? ABSENT_RESOURCE_RETRY_MS : (status?.retryAfterMs ?? 0));
  }

  /** Adapts to an error status. Returns true if the next attempt need not wait. */
  #adapt(status: Status): boolean {
    if (status.code === 410 || isResourceVersionTooNew(status)) {
      if (this.#current && status.code === 410) this.#current = false;
      else if (this.#consistent) this.#pagesRefused = true;
      else this.#readStore();
      const first = !this.#expired;
      this.#expired = true;
      return first;
    }
    if (status.code === 401) {
      const first = !this.#relogin;
      this.#relogin = true;
      return first;
    }
    if ((status.code === 406 || status.code === 415) && !this.#protobufRefused) {
      this.#protobufRefused = this.#options.sink.protobuf;
      return this.#protobufRefused;
    }
    if ((status.code === 400 || status.code === 422) && !this.#current && this.#wantsWatchList()) {
      this.#watchListRefused = true;
      return true;
    }
    return false;
  }

  #report(error: SluiceError | undefined): void {
    this.#lastError = error?.message ?? "";
    if (error === undefined) {
      this.#problems.set([]);
      return;
    }
    const { code } = error;
    const isUnreachable = code === "API_UNREACHABLE";
    const message = isUnreachable ? withHint(error.message, UNREACHABLE_HINT) : error.message;
    const subject = `${this.#options.resource.name} at ${this.#options.server}`;
    this.#problems.set([{ subject, code, field: "", message }]);
  }

  #malformed(cause: string): SluiceError {
    const { resource, server } = this.#options;
    return new SluiceError("API_MALFORMED", `list ${resource.name}: ${cause}`, server);
  }

  #unreachable(verb: "list" | "watch", cause: string): SluiceError {
    const { resource, server } = this.#options;
    return new SluiceError("API_UNREACHABLE", `${verb} ${resource.name}: ${cause}`, server);
  }
}
