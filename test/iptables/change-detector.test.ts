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

/** A detector over tables that are only a text. */
function watched({ takes = 10 } = {}) {
  const clock = new FakeClock();
  const start = clock.monotonic();
  const state = {
    counter: "a",
    same: true,
    idle: true,
    fails: false,
    found: undefined as Comparison | undefined,
    /** Transactions as the texts report them, and the number of our own. */
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
  test("compares at once, because changes may precede it", async () => {
    const { clock, compared } = watched();
    await clock.advance(CHANGE_COUNTER_POLL_MS);
    expect(compared).toEqual([CHANGE_COUNTER_POLL_MS]);
  });

  test("compares periodically even without signs of change", async () => {
    const { clock, compared } = watched();
    await clock.advance(3 * COMPARE_INTERVAL_MS);
    expect(compared).toHaveLength(3);
  });

  test("compares after a change at the next check, and reports differences", async () => {
    const { clock, state, compared, reported } = watched();
    await clock.advance(5 * CHANGE_COUNTER_POLL_MS);
    expect(reported).toEqual([]);
    state.counter = "b";
    state.same = false;
    await clock.advance(2 * CHANGE_COUNTER_POLL_MS);
    expect(compared).toHaveLength(2);
    expect(reported).toEqual(["differs"]);
  });

  test("uses a hundredth of the time, and a tenth while others change their rules", async () => {
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

  test("recognizes our own writes", async () => {
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
  ])("compares after possible foreign changes during our write: %s", async (_, commits, within) => {
    const { clock, state, compared, detector } = watched();
    await clock.advance(COMPARE_WRITTEN_MS + 2 * CHANGE_COUNTER_POLL_MS);
    expect(compared).toHaveLength(1);
    detector.beginWrite();
    Object.assign(state, { counter: "ours and theirs", commits, ours: 2 });
    detector.endWrite();
    await clock.advance(within);
    expect(compared).toHaveLength(2);
  });

  test("discards a comparison during our write", async () => {
    const { clock, state, reported, compared, detector } = watched({ takes: 100 });
    state.same = false;
    await clock.advance(CHANGE_COUNTER_POLL_MS + 50);
    detector.beginWrite();
    detector.endWrite();
    state.same = true;
    await clock.advance(3 * CHANGE_COUNTER_POLL_MS);
    expect(reported).toEqual([]);
    // The reason for the check is still pending.
    expect(compared).toHaveLength(2);
  });

  test("that cannot read without a concurrent write requests a pause of all writes", async () => {
    const { clock, state, reported, compared, detector } = watched({ takes: 500 });
    state.same = false;
    for (let ms = 0; ms < 30_000; ms += 400) {
      await clock.advance(400);
      detector.beginWrite();
      detector.endWrite();
    }
    expect(reported[0]).toBe("starved");
    expect(reported).not.toContain("differs");
    // Two of the doubtful comparisons are enough.
    expect(compared.length).toBeLessThanOrEqual(2 * reported.length + 1);
  });

  test("that finds a running write at every check requests a pause of all writes", async () => {
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

  test("does not count one long write as many", async () => {
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
  ] as const)("still doubts a comparison that %s", async (_, found, then) => {
    const { clock, state, reported, compared } = watched();
    Object.assign(state, { counter: "b", found });
    await clock.advance(3 * CHANGE_COUNTER_POLL_MS);
    expect(compared.length).toBeGreaterThan(1);
    Object.assign(state, { found: undefined, same: false });
    await clock.advance(CHANGE_COUNTER_POLL_MS);
    expect(reported[0]).toBe(then);
  });

  test("does not compare again after a comparison elsewhere", async () => {
    const { clock, state, compared, detector } = watched();
    await clock.advance(5 * CHANGE_COUNTER_POLL_MS);
    detector.suspect();
    detector.beginWrite();
    detector.recordComparison();
    state.counter = "repaired";
    detector.endWrite();
    await clock.advance(5 * CHANGE_COUNTER_POLL_MS);
    expect(compared).toHaveLength(1);
  });

  test("checks nothing while drift is known", async () => {
    const { clock, state, compared } = watched();
    state.idle = false;
    await clock.advance(2 * COMPARE_INTERVAL_MS);
    expect(compared).toEqual([]);
  });

  test("continues after a failed comparison", async () => {
    const { clock, state, reported, compared } = watched();
    state.fails = true;
    await clock.advance(CHANGE_COUNTER_POLL_MS);
    expect(reported).toEqual(["it failed"]);
    state.fails = false;
    await clock.advance(CHANGE_COUNTER_POLL_MS);
    expect(compared).toHaveLength(2);
  });

  test("that is stopped checks nothing further", async () => {
    const { clock, compared, detector } = watched();
    detector.stop();
    await clock.advance(COMPARE_INTERVAL_MS);
    expect(compared).toEqual([]);
    expect(clock.waiting).toBe(0);
  });
});
