import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { Pacer } from "../../src/sync/pacer.ts";

function world(options: { minIntervalMs?: number; runMs?: number; outcomes?: boolean[] } = {}): {
  clock: FakeClock;
  pacer: Pacer;
  starts: number[];
} {
  const clock = new FakeClock(0);
  const starts: number[] = [];
  const outcomes = [...(options.outcomes ?? [])];
  const pacer = new Pacer({
    clock,
    minIntervalMs: options.minIntervalMs ?? 0,
    cooldownMsMax: 100,
    retryMs: 50,
    retryMsMax: 200,
    run: () => {
      starts.push(clock.now());
      return new Promise((resolve) => {
        clock.after(options.runMs ?? 0, () => resolve(outcomes.shift() ?? true));
      });
    },
  });
  return { clock, pacer, starts };
}

describe("Pacer", () => {
  test("runs a single change at once", async () => {
    const { clock, pacer, starts } = world();
    await clock.advance(1000);
    pacer.request();
    await clock.advance(0);
    expect(starts).toEqual([1000]);
  });

  test("coalesces a burst of requests into one run", async () => {
    const { clock, pacer, starts } = world();
    for (let i = 0; i < 1000; i++) pacer.request();
    await clock.advance(1000);
    expect(starts).toEqual([0]);
  });

  test("runs once more for requests during the run, after a rest with the duration of the run", async () => {
    const { clock, pacer, starts } = world({ runMs: 30 });
    pacer.request();
    await clock.advance(10);
    pacer.request();
    pacer.request();
    await clock.advance(1000);
    expect(starts).toEqual([0, 60]);
  });

  test("rests no longer than cooldownMsMax after a long run", async () => {
    const { clock, pacer, starts } = world({ runMs: 5000 });
    pacer.request();
    await clock.advance(1);
    pacer.request();
    await clock.advance(20_000);
    expect(starts).toEqual([0, 5100]);
  });

  test("counts minSyncPeriod from the end of one run to the start of the next", async () => {
    const { clock, pacer, starts } = world({ minIntervalMs: 1000, runMs: 10 });
    pacer.request();
    await clock.advance(20);
    pacer.request();
    await clock.advance(5000);
    expect(starts).toEqual([0, 1010]);
  });

  test("does not delay the first change after a quiet time by minSyncPeriod", async () => {
    const { clock, pacer, starts } = world({ minIntervalMs: 1000 });
    pacer.request();
    await clock.advance(1500);
    pacer.request();
    await clock.advance(0);
    expect(starts).toEqual([0, 1500]);
  });

  test("retries a failed run automatically, with doubling delays up to the maximum, then resets them", async () => {
    const { clock, pacer, starts } = world({ outcomes: [false, false, false, false, true] });
    pacer.request();
    await clock.advance(5000);
    expect(starts).toEqual([0, 50, 150, 350, 550]);
    pacer.request();
    await clock.advance(0);
    expect(starts).toHaveLength(6);
  });

  test("begins nothing after stop, not even a scheduled run", async () => {
    const { clock, pacer, starts } = world();
    pacer.request();
    pacer.stop();
    pacer.request();
    await clock.advance(5000);
    expect(starts).toEqual([]);
  });

  test("a hurried request ends the wait before a retry, but not the rest", async () => {
    const { clock, pacer, starts } = world({ runMs: 10, outcomes: [false, false, true] });
    pacer.request();
    // The first retry is due at 60, after a rest until 20.
    await clock.advance(15);
    pacer.hurry();
    await clock.advance(1000);
    expect(starts).toEqual([0, 20, 130]);
  });

  test("a request that hurries a failing run is followed by a retry at once", async () => {
    const { clock, pacer, starts } = world({ runMs: 10, outcomes: [false, true] });
    pacer.request();
    await clock.advance(5);
    pacer.hurry();
    await clock.advance(1000);
    expect(starts).toEqual([0, 20]);
  });

  test("hurrying without a failure is a request", async () => {
    const { clock, pacer, starts } = world({ runMs: 10 });
    for (let i = 0; i < 100; i++) pacer.hurry();
    await clock.advance(1000);
    expect(starts).toEqual([0]);
  });
});
