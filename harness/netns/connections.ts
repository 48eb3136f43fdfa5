/** Provides steps for tests of changes. */
import { setDefaultTimeout } from "bun:test";
import type { Family, Location } from "./addresses.ts";
import { type Frontend, frontend } from "./frontends.ts";
import type { Reply } from "./switchboard/switchboard-client.ts";
import type { ConnectOptions, World } from "./world.ts";

/** Timeout of every test and hook of the calling file. Some tests fail only by a timeout. */
export function useLongTimeout(): void {
  setDefaultTimeout(60_000);
}

const SILENCE_PATIENCE_MS = 250;
const TRIAL_PATIENCE_MS = 100;
/** These ports are below the range that the kernel assigns. */
const FIRST_SOURCE_PORT = 10_000;
/** With three endpoints, the chance to miss one is (2/3)^80, which is practically zero. */
const MANY = 80;

export interface Target {
  readonly from: Location;
  readonly to: Frontend;
  readonly number: number;
  readonly family: Family;
  readonly port?: number;
}

/** Opens one connection. */
export function connect(
  world: World,
  target: Target,
  options: ConnectOptions = {},
): Promise<Reply> {
  const { address, port } = frontend(target.to, target.number, target.family, target.port);
  return world.connect(target.from, address, port, options);
}

/** The servers that answer, sorted and without duplicates: names, or outcomes without an answer. */
export async function answers(
  world: World,
  target: Target,
  options: ConnectOptions & { readonly times?: number; readonly withPort?: boolean } = {},
): Promise<string[]> {
  const { times = MANY, withPort = false, ...rest } = options;
  const replies = await Promise.all(
    Array.from({ length: times }, () => connect(world, target, rest)),
  );
  return [...new Set(replies.map((reply) => nameOf(reply, withPort)))].sort();
}

/** The outcome of a connection that nothing should answer. */
export async function outcome(
  world: World,
  target: Target,
  options: ConnectOptions = {},
): Promise<string> {
  return nameOf(await connect(world, target, { timeoutMs: SILENCE_PATIENCE_MS, ...options }));
}

let trials = FIRST_SOURCE_PORT;

/**
 * The outcome of a connection that may precede its rules. It then leaves an untranslated flow, so
 * its source port must be one that no other client gets by chance.
 */
export function connectOnce(world: World, target: Target): Promise<string> {
  trials += 1;
  return outcome(world, target, { timeoutMs: TRIAL_PATIENCE_MS, sourcePort: trials });
}

/** The name of the server that answered, or the outcome. */
export function nameOf(reply: Reply, withPort = false): string {
  if (reply.outcome !== "answered") return reply.outcome;
  return withPort ? `${reply.name}:${reply.port}` : reply.name;
}

/** Uses held connections once more, ends them, and returns their outcomes. */
export async function finishHeld(world: World, open: readonly Reply[]): Promise<string[]> {
  const outcomes: string[] = [];
  for (const { handle = -1 } of open) {
    outcomes.push((await world.switchboard.ask(handle)).outcome);
    await world.switchboard.hangup(handle);
  }
  return outcomes;
}
