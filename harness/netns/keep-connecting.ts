/** Opens connections continuously while a test changes the rules. */

import { pollUntil } from "../waiting.ts";
import { connect, type Target } from "./connections.ts";
import type { Transport } from "./switchboard/switchboard-client.ts";
import type { World } from "./world.ts";

export interface ConnectTarget extends Target {
  readonly transport?: Transport;
}

/** After this many more connections, every target was tried several times. */
const SOME_FOR_EACH = 50;

export interface Traffic {
  /** Waits for some more connections to every target. */
  waitForMore(): Promise<void>;
  /** Stops, and returns the failed connections. */
  stop(): Promise<string[]>;
}

/** Opens connections to every target, one after the other. */
export function keepConnecting(world: World, calls: readonly ConnectTarget[]): Traffic {
  let running = true;
  const done = calls.map(() => 0);
  const failed: string[] = [];
  const all = calls.map(async (call, index) => {
    while (running) {
      const { transport = "tcp" } = call;
      const { outcome, took: elapsed } = await connect(world, call, { transport });
      done[index] = (done[index] ?? 0) + 1;
      if (outcome === "answered") continue;
      const what = `${call.from} to the ${call.to} ${call.number} by ${transport} (IPv${call.family})`;
      failed.push(`${what}: ${outcome} after ${Math.round(elapsed)} ms`);
    }
  });
  return {
    async waitForMore() {
      const before = [...done];
      await pollUntil(
        async () => done,
        (now) => now.every((each, index) => each >= (before[index] ?? 0) + SOME_FOR_EACH),
      );
    },
    async stop() {
      running = false;
      await Promise.all(all);
      return failed;
    },
  };
}
