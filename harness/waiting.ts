/** Waits for conditions, always with a time limit. */
import type { FakeClock } from "./fakes/fake-clock.ts";

export interface WaitOptions {
  /** How long to wait. The default is less than a test may take. */
  readonly limitMs?: number;
  /** Time between two questions. */
  readonly pollMs?: number;
  /** Moves on by 100 ms with every question. */
  readonly clock?: FakeClock;
  /** Text for the error, such as the end of a log. */
  readonly explain?: () => string;
}

/** Waits, in real time, until `holds`. @throws Error that names `what` after `limitMs` */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  options: WaitOptions = {},
): Promise<void> {
  const { limitMs = 4000, pollMs = 1, clock, explain = () => "" } = options;
  const deadline = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > deadline) {
      throw new Error(`Not within ${limitMs} ms: ${what}\n${explain()}`);
    }
    await Bun.sleep(pollMs);
    await clock?.advance(100);
  }
}

/** Asks until the answer is as wanted, 10 s at most, and returns the last answer either way. */
export async function pollUntil<T>(
  ask: () => Promise<T>,
  wanted: (answer: T) => boolean,
): Promise<T> {
  const deadline = performance.now() + 10_000;
  let answer = await ask();
  while (!wanted(answer) && performance.now() < deadline) {
    await Bun.sleep(5);
    answer = await ask();
  }
  return answer;
}

/** Lets everything that waits for a promise run. */
export async function flushPromises(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}
