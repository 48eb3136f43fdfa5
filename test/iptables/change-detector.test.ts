import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { SluiceError } from "../../src/base/errors.ts";
import {
  CHANGE_COUNTER_POLL_MS,
  COMPARE_FACTOR,
  COMPARE_FACTOR_CHANGED,
  COMPARE_INTERVAL_MS,
  COMPARE_WRITTEN_MS,
} from "../../src/base/limits.ts";
import { ChangeDetector, type Comparison } from "../../src/iptables/change-detector.ts";

/** A detector over tables that are a text and nothing else. */
function watched({ takes = 10 } = {}) {
  const clock = new FakeClock();
  const start = clock.monotonic();
  const state = {
    counter: "a",
    same: true,
    idle: true,
    fails: false,
    found: undefined as Comparison | undefined,
    /** What the texts tell of transactions, and how many of them we have made. */
    commits: 0 as number | undefined,
    ours: 0,
  };
  const compared: number[] = [];
  const reported: string[] = [];
  let waits = takes;
  const detector = new ChangeDetector({
    clock,
    readCounter: () => state.counter,
    commits: () => state.commits,
    ownCommits: () => state.ours,
    idle: () => state.idle,
    async compare() {
      compared.push(clock.monotonic() - start);
      if (state.fails) throw new SluiceError("TOOL_FAILED", "it failed");
      const found = state.found ?? (state.same ? "same" : "differs");
      await new Promise<void>((resolve) => clock.after(waits, resolve));
      return found;
    },
    onDifference: () => reported.push("differs"),
    onComparisonStarved: () => reported.push("starved"),
    onComparisonFailed: ({ message }) => reported.push(message),
  });
  detector.start();
  return {
    clock,
    state,
    compared,
    reported,
    detector,
    take(ms: number) {
      waits = ms;
    },
  };
}

describe("a change detector", () => {
  test("compares at once what may have changed before it was there", async () => {
    const { clock, compared } = watched();
    await clock.advance(CHANGE_COUNTER_POLL_MS);
    expect(compared).toEqual([CHANGE_COUNTER_POLL_MS]);
  });

  test("compares now and then although nothing seems to have changed", async () => {
    const { clock, compared } = watched();
    await clock.advance(3 * COMPARE_INTERVAL_MS);
    expect(compared).toHaveLength(3);
  });

  test("compares at the next look what changed, and tells of it if it differs", async () => {
    const { clock, state, compared, reported } = watched();
    await clock.advance(5 * CHANGE_COUNTER_POLL_MS);
    expect(reported).toEqual([]);
    state.counter = "b";
    state.same = false;
    await clock.advance(2 * CHANGE_COUNTER_POLL_MS);
    expect(compared).toHaveLength(2);
    expect(reported).toEqual(["differs"]);
  });

  test("spends a hundredth of the time, and a tenth while others change their own", async () => {
    const { clock, state, compared } = watched({ takes: 2000 });
    await clock.advance(CHANGE_COUNTER_POLL_MS + 2000 * COMPARE_FACTOR);
    expect(compared).toHaveLength(1);
    await clock.advance(5000);
    expect(compared).toHaveLength(2);
    for (let i = 0; i < 2000 * COMPARE_FACTOR_CHANGED; i += 1000) {
      state.counter = `b${i}`;
      await clock.advance(1000);
    }
    expect(compared.length).toBeLessThanOrEqual(3);
  });

  test("takes what we write for ours", async () => {
    const { clock, state, compared, detector } = watched();
    await clock.advance(5 * CHANGE_COUNTER_POLL_MS);
    detector.beginWrite();
    state.counter = "ours";
    Object.assign(state, { commits: 2, ours: 2 });
    detector.endWrite();
    await clock.advance(5 * CHANGE_COUNTER_POLL_MS);
    expect(compared).toHaveLength(1);
  });

  test.each([
    ["at the next look where a transaction too many tells", 3, CHANGE_COUNTER_POLL_MS],
    ["soon where nothing tells", undefined, COMPARE_WRITTEN_MS],
  ])("compares what others may have changed while we wrote: %s", async (_, commits, within) => {
    const { clock, state, compared, detector } = watched();
    await clock.advance(COMPARE_WRITTEN_MS + 2 * CHANGE_COUNTER_POLL_MS);
    expect(compared).toHaveLength(1);
    detector.beginWrite();
    Object.assign(state, { counter: "ours and theirs", commits, ours: 2 });
    detector.endWrite();
    await clock.advance(within);
    expect(compared).toHaveLength(2);
  });

  test("does not believe a comparison during which we wrote", async () => {
    const { clock, state, reported, compared, detector } = watched({ takes: 100 });
    state.same = false;
    await clock.advance(CHANGE_COUNTER_POLL_MS + 50);
    detector.beginWrite();
    detector.endWrite();
    state.same = true;
    await clock.advance(3 * CHANGE_COUNTER_POLL_MS);
    expect(reported).toEqual([]);
    // What made it look is still to be looked at.
    expect(compared).toHaveLength(2);
  });

  test("that never reads anything without a write meanwhile asks that all writes wait", async () => {
    const { clock, state, reported, compared, detector } = watched({ takes: 500 });
    state.same = false;
    for (let ms = 0; ms < 30_000; ms += 400) {
      await clock.advance(400);
      detector.beginWrite();
      detector.endWrite();
    }
    expect(reported[0]).toBe("starved");
    expect(reported).not.toContain("differs");
    // Of those that were doubtful two are enough.
    expect(compared.length).toBeLessThanOrEqual(2 * reported.length + 1);
  });

  test("that finds a write under way at every look asks that all writes wait", async () => {
    const { clock, state, reported, compared, detector } = watched();
    state.counter = "b";
    for (let looks = 0; looks < 3; looks++) {
      detector.beginWrite();
      await clock.advance(CHANGE_COUNTER_POLL_MS + 1);
      detector.endWrite();
    }
    expect(reported).toContain("starved");
    expect(compared).toEqual([]);
  });

  test("takes one long write for no sign of many", async () => {
    const { clock, reported, compared, detector } = watched();
    detector.beginWrite();
    await clock.advance(10 * CHANGE_COUNTER_POLL_MS);
    detector.endWrite();
    await clock.advance(2 * CHANGE_COUNTER_POLL_MS);
    expect(reported).toEqual([]);
    expect(compared).toHaveLength(1);
  });

  test.each([
    ["is not known", "unknown", "starved"],
    ["has to wait for something of ours", "ours", "differs"],
  ] as const)("still doubts what %s", async (_, found, then) => {
    const { clock, state, reported, compared } = watched();
    Object.assign(state, { counter: "b", found });
    await clock.advance(3 * CHANGE_COUNTER_POLL_MS);
    expect(compared.length).toBeGreaterThan(1);
    Object.assign(state, { found: undefined, same: false });
    await clock.advance(CHANGE_COUNTER_POLL_MS);
    expect(reported[0]).toBe(then);
  });

  test("does not look again at what was compared elsewhere", async () => {
    const { clock, state, compared, detector } = watched();
    await clock.advance(5 * CHANGE_COUNTER_POLL_MS);
    detector.suspect();
    detector.beginWrite();
    detector.recordComparison();
    state.counter = "mended";
    detector.endWrite();
    await clock.advance(5 * CHANGE_COUNTER_POLL_MS);
    expect(compared).toHaveLength(1);
  });

  test("looks at nothing while something is amiss already", async () => {
    const { clock, state, compared } = watched();
    state.idle = false;
    await clock.advance(2 * COMPARE_INTERVAL_MS);
    expect(compared).toEqual([]);
  });

  test("goes on after a comparison that failed", async () => {
    const { clock, state, reported, compared } = watched();
    state.fails = true;
    await clock.advance(CHANGE_COUNTER_POLL_MS);
    expect(reported).toEqual(["it failed"]);
    state.fails = false;
    await clock.advance(CHANGE_COUNTER_POLL_MS);
    expect(compared).toHaveLength(2);
  });

  test("that is stopped looks no more", async () => {
    const { clock, compared, detector } = watched();
    detector.stop();
    await clock.advance(COMPARE_INTERVAL_MS);
    expect(compared).toEqual([]);
    expect(clock.waiting).toBe(0);
  });
});
