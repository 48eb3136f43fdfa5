/** Brings one Event, or the count of its series, to the API server, on a connection of its own. */

import type { ClusterAccess } from "../api-client/access.ts";
import { statusOf } from "../api-client/status.ts";
import {
  openTransport,
  type WritableTransport,
  type WriteRequest,
} from "../api-client/transport.ts";
import { type Write, write } from "../api-client/write-request.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf, SluiceError } from "../base/errors.ts";
import { eventSeries } from "./event-object.ts";
import type { Series } from "./event-series.ts";

export interface EventSenderOptions {
  readonly access: ClusterAccess;
  readonly clock: Clock;
  /** For tests. */
  readonly openTransport?: (access: ClusterAccess) => WritableTransport;
}

const EVENTS_PATH = "/apis/events.k8s.io/v1/namespaces";
const ANSWER_MS = 10_000;

export class EventSender {
  readonly #options: EventSenderOptions;
  #transport: WritableTransport | undefined;
  #underWay: Write | undefined;

  constructor(options: EventSenderOptions) {
    this.#options = options;
  }

  /** One attempt, with this count. Resolves to the error if it did not arrive; never rejects. */
  async send(series: Series, count: number): Promise<SluiceError | undefined> {
    try {
      if (series.told === 0 || !(await this.#change(series, count))) {
        await this.#create(series, count);
      }
      return undefined;
    } catch (thrown) {
      if (thrown instanceof SluiceError) return thrown;
      return new SluiceError("API_MALFORMED", messageOf(thrown), undefined, { cause: thrown });
    }
  }

  /** Drops the connection, and a request under way with it. The next `send` opens another. */
  close(): void {
    this.#underWay?.abort(new SluiceError("API_UNREACHABLE", "Cannot write an Event: stopped"));
    this.#transport?.close();
    this.#transport = undefined;
  }

  async #create({ object, told, lastAt }: Series, count: number): Promise<void> {
    const { namespace, name } = object.metadata;
    const repeated = count > 1 && { series: eventSeries(count, lastAt) };
    try {
      await this.#write(`create Event ${namespace}/${name}`, {
        method: "POST",
        path: `${EVENTS_PATH}/${namespace}/events`,
        contentType: "application/json",
        body: JSON.stringify({ ...object, ...repeated }),
      });
    } catch (thrown) {
      // An attempt that seemed to have failed had arrived.
      if (!hasCode(thrown, 409) || told > 0) throw thrown;
    }
  }

  /** False if there is no such Event any more: they live for an hour. */
  async #change({ object, lastAt }: Series, count: number): Promise<boolean> {
    const { namespace, name } = object.metadata;
    try {
      await this.#write(`change Event ${namespace}/${name}`, {
        method: "PATCH",
        path: `${EVENTS_PATH}/${namespace}/events/${name}`,
        contentType: "application/merge-patch+json",
        body: JSON.stringify({ series: eventSeries(count, lastAt) }),
      });
      return true;
    } catch (thrown) {
      if (hasCode(thrown, 404)) return false;
      throw thrown;
    }
  }

  async #write(what: string, request: WriteRequest): Promise<void> {
    const { access, clock } = this.#options;
    this.#transport ??= (this.#options.openTransport ?? openTransport)(access);
    const transport = this.#transport;
    const { server } = access;
    this.#underWay = write({ transport, clock, what, server, request, timeoutMs: ANSWER_MS });
    try {
      await this.#underWay.done;
    } finally {
      this.#underWay = undefined;
    }
  }
}

function hasCode(thrown: unknown, code: number): boolean {
  return thrown instanceof SluiceError && statusOf(thrown)?.code === code;
}
