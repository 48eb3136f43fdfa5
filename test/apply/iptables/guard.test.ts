import { describe, expect, test } from "bun:test";
import { Guard } from "../../../src/apply/iptables/guard.ts";
import { SluiceError } from "../../../src/errors.ts";
import {
  COMPARE_FACTOR,
  COMPARE_FACTOR_CHANGED,
  COMPARE_INTERVAL_MS,
  COMPARE_WRITTEN_MS,
  PEEK_INTERVAL_MS,
} from "../../../src/limits.ts";
import { FakeClock } from "../../sync/fake-clock.ts";

/** A guard over tables that are a text and nothing else. */
function guarded({ takes = 10 } = {}) {
  const clock = new FakeClock();
  const start = clock.monotonic();
  const state = {
    ...{ peek: "a", same: true, idle: true, fails: false },
    /** What the texts tell of transactions, and how many of them we have made. */
    ...{ commits: 0 as number | undefined, ours: 0 },
  };
  const compared: number[] = [];
  const told: string[] = [];
  let waits = takes;
  const guard = new Guard({
    clock,
    peek: () => state.peek,
    commits: () => state.commits,
    ours: () => state.ours,
    idle: () => state.idle,
    async compare() {
      compared.push(clock.monotonic() - start);
      if (state.fails) throw new SluiceError("TOOL_FAILED", "it failed");
      const { same } = state;
      await new Promise<void>((resolve) => clock.after(waits, resolve));
      return same;
    },
    differs: () => told.push("differs"),
    failed: ({ message }) => told.push(message),
  });
  guard.start();
  return {
    ...{ clock, state, compared, told, guard },
    take(ms: number) {
      waits = ms;
    },
  };
}

describe("a guard", () => {
  test("compares at once what may have changed before it was there", async () => {
    const { clock, compared } = guarded();
    await clock.advance(PEEK_INTERVAL_MS);
    expect(compared).toEqual([PEEK_INTERVAL_MS]);
  });

  test("compares now and then although nothing seems to have changed", async () => {
    const { clock, compared } = guarded();
    await clock.advance(3 * COMPARE_INTERVAL_MS);
    expect(compared).toHaveLength(3);
  });

  test("compares at the next look what changed, and tells of it if it differs", async () => {
    const { clock, state, compared, told } = guarded();
    await clock.advance(5 * PEEK_INTERVAL_MS);
    expect(told).toEqual([]);
    state.peek = "b";
    state.same = false;
    await clock.advance(2 * PEEK_INTERVAL_MS);
    expect(compared).toHaveLength(2);
    expect(told).toEqual(["differs"]);
  });

  test("spends a hundredth of the time, and a tenth while others change their own", async () => {
    const { clock, state, compared } = guarded({ takes: 2000 });
    await clock.advance(PEEK_INTERVAL_MS + 2000 * COMPARE_FACTOR);
    expect(compared).toHaveLength(1);
    await clock.advance(5000);
    expect(compared).toHaveLength(2);
    for (let i = 0; i < 2000 * COMPARE_FACTOR_CHANGED; i += 1000) {
      state.peek = `b${i}`;
      await clock.advance(1000);
    }
    expect(compared.length).toBeLessThanOrEqual(3);
  });

  test("takes what we write for ours", async () => {
    const { clock, state, compared, guard } = guarded();
    await clock.advance(5 * PEEK_INTERVAL_MS);
    guard.writing();
    state.peek = "ours";
    Object.assign(state, { commits: 2, ours: 2 });
    guard.written();
    await clock.advance(5 * PEEK_INTERVAL_MS);
    expect(compared).toHaveLength(1);
  });

  test.each([
    ["at the next look where a transaction too many tells", 3, PEEK_INTERVAL_MS],
    ["soon where nothing tells", undefined, COMPARE_WRITTEN_MS],
  ])("compares what others may have changed while we wrote: %s", async (_, commits, within) => {
    const { clock, state, compared, guard } = guarded();
    await clock.advance(COMPARE_WRITTEN_MS + 2 * PEEK_INTERVAL_MS);
    expect(compared).toHaveLength(1);
    guard.writing();
    Object.assign(state, { peek: "ours and theirs", commits, ours: 2 });
    guard.written();
    await clock.advance(within);
    expect(compared).toHaveLength(2);
  });

  test("does not believe a comparison during which we wrote", async () => {
    const { clock, state, told, compared, guard } = guarded({ takes: 100 });
    state.same = false;
    await clock.advance(PEEK_INTERVAL_MS + 50);
    guard.writing();
    guard.written();
    state.same = true;
    await clock.advance(3 * PEEK_INTERVAL_MS);
    expect(told).toEqual([]);
    // What made it look is still to be looked at.
    expect(compared).toHaveLength(2);
  });

  test("looks at nothing while something is being written", async () => {
    const { clock, state, compared } = guarded();
    state.idle = false;
    await clock.advance(2 * COMPARE_INTERVAL_MS);
    expect(compared).toEqual([]);
  });

  test("goes on after a comparison that failed", async () => {
    const { clock, state, told, compared } = guarded();
    state.fails = true;
    await clock.advance(PEEK_INTERVAL_MS);
    expect(told).toEqual(["it failed"]);
    state.fails = false;
    await clock.advance(PEEK_INTERVAL_MS);
    expect(compared).toHaveLength(2);
  });

  test("that is stopped looks no more", async () => {
    const { clock, compared, guard } = guarded();
    guard.stop();
    await clock.advance(COMPARE_INTERVAL_MS);
    expect(compared).toEqual([]);
    expect(clock.waiting).toBe(0);
  });
});
