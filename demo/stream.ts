/** Generates the traffic of the demo and counts the outcomes. */
import type { Location } from "../harness/netns/addresses.ts";
import type { Reply } from "../harness/netns/switchboard/switchboard-client.ts";
import type { World } from "../harness/netns/world.ts";
import { now } from "./stage.ts";
import { withTimeout } from "./wait.ts";

/**
 * With three endpoints, the chance that one of them gets none is (2/3)^100, which is practically
 * zero.
 */
const LATEST = 100;
/** Some hundred connections take a fraction of a second, on a busy machine a few seconds. */
const MORE_LIMIT_MS = 20_000;

/** Clients that connect continuously, each from its place, until they are stopped. */
export class Stream {
  readonly replies: Reply[] = [];
  private running = true;
  private failure: unknown;
  private readonly clients: Promise<void>[];

  constructor(world: World, targets: readonly { from: Location; address: string; port: number }[]) {
    this.clients = targets.map(async ({ from, address, port }) => {
      try {
        while (this.running) this.replies.push(await world.connect(from, address, port));
      } catch (error) {
        this.failure = error;
      }
    });
  }

  /** Waits for `count` more connections; `when` names them in an error. */
  async more(count: number, when: string): Promise<void> {
    const before = this.replies.length;
    const through = (): number => this.replies.length - before;
    const enough = async () => {
      while (this.failure === undefined && this.running && through() < count) await Bun.sleep(1);
    };
    const what = `wait for ${count} more connections ${when}`;
    try {
      await withTimeout(MORE_LIMIT_MS, what, enough(), () => `${through()} so far`);
    } catch (error) {
      this.running = false;
      throw error;
    }
    if (this.failure !== undefined) throw this.failure;
  }

  /** Waits until the latest connections match, or for a limited time. */
  async until(
    isSo: (latest: readonly Reply[]) => boolean,
    limit: number,
    when: string,
  ): Promise<void> {
    const end = now() + limit;
    do await this.more(LATEST, when);
    while (!isSo(this.replies.slice(-LATEST)) && now() < end);
  }

  async stop(): Promise<readonly Reply[]> {
    this.running = false;
    await withTimeout(MORE_LIMIT_MS, "wait for the last connections", Promise.all(this.clients));
    return this.replies;
  }
}

/** Counts replies by server; without an answer, by outcome. */
export function count(replies: readonly Reply[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const reply of replies) {
    const name = reply.outcome === "answered" ? reply.name : reply.outcome;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return new Map([...counts].sort(([one], [other]) => one.localeCompare(other)));
}
