import { beforeEach, describe, expect, test } from "bun:test";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { createLogger } from "../../src/base/log.ts";
import { RepairTiming } from "../../src/sync/repair-timing.ts";

const CHANGE = {
  what: "rules of services4",
  by: "nft (pid 7)",
  objects: ["rules of services4"],
};

let clock: FakeClock;
let times: number[];
let lines: string[];
let repairs: RepairTiming;

beforeEach(() => {
  clock = new FakeClock(0);
  times = [];
  lines = [];
  const now = () => clock.now();
  const write = (line: string) => lines.push(line);
  repairs = new RepairTiming({
    clock,
    log: createLogger({ verbosity: 0, format: "text", now, write, pid: 1 }),
    repair: () => times.push(clock.now()),
  });
});

/** Another program undoes each repair after `ms`, until `end`. */
async function changeRepeatedly(ms: number, end: number): Promise<void> {
  while (clock.now() < end) {
    repairs.changed(CHANGE);
    await clock.advance(ms);
  }
}

const gaps = () => times.slice(1).map((time, index) => time - (times[index] ?? 0));

describe("RepairTiming", () => {
  test("one change is repaired at once", async () => {
    repairs.changed(CHANGE);
    await clock.advance(0);
    expect(times).toEqual([0]);
  });

  test("simultaneous changes are one repair", async () => {
    for (let i = 0; i < 1000; i++) repairs.changed(CHANGE);
    await clock.advance(0);
    await clock.advance(100_000);
    expect(times).toEqual([0]);
  });

  test("a thousand objects that change once each are repaired at once", async () => {
    for (let i = 0; i < 1000; i++) {
      repairs.changed({ ...CHANGE, objects: [`0 ${i}`] });
      await clock.advance(1);
    }
    expect(times).toHaveLength(1000);
    expect(lines).toEqual([]);
  });

  test("repeated changes of one object do not delay the repair of another", async () => {
    await changeRepeatedly(10, 100_000);
    const count = times.length;
    repairs.changed(CHANGE);
    await clock.advance(0);
    expect(times).toHaveLength(count);
    repairs.changed({ ...CHANGE, objects: ["the table"] });
    await clock.advance(0);
    expect(times).toHaveLength(count + 1);
  });

  test("repeated changes are recognized among any number of other changes", async () => {
    for (let i = 0; i < 10_000; i++) {
      repairs.changed({ ...CHANGE, objects: [`0 ${i}`] });
      if (i % 100 === 0) repairs.changed(CHANGE);
      await clock.advance(1);
    }
    times.length = 0;
    repairs.changed(CHANGE);
    await clock.advance(0);
    expect(times).toEqual([]);
  });

  test("a long burst is repaired at its start and after a while", async () => {
    await changeRepeatedly(1, 100);
    await clock.advance(1000);
    expect(times).toEqual([0, 250]);
  });

  test("a program that undoes every repair is answered with growing delays", async () => {
    await changeRepeatedly(10, 300_000);
    expect(gaps().slice(0, 6)).toEqual([250, 250, 250, 250, 500, 1000]);
    expect(Math.max(...gaps())).toBe(2000);
    expect(times.length).toBeLessThan(160);
    expect(lines).toEqual([expect.stringContaining("Delayed the repair")]);
  });

  test("occasional changes are always repaired at once", async () => {
    for (let i = 0; i < 100; i++) {
      await clock.advance(10_001);
      repairs.changed(CHANGE);
      await clock.advance(0);
      expect(times.at(-1)).toBe(clock.now());
    }
    expect(times).toHaveLength(100);
  });

  test("after a quiet time the delay resets", async () => {
    await changeRepeatedly(10, 100_000);
    await clock.advance(100_000);
    repairs.changed(CHANGE);
    await clock.advance(0);
    repairs.changed(CHANGE);
    await clock.advance(250);
    expect(gaps().at(-1)).toBe(250);
  });

  test.each([
    ["that is due", 0],
    ["that has to wait", 1],
  ])("a stop cancels a repair %s", async (_, before) => {
    for (let i = 0; i < before; i++) {
      repairs.changed(CHANGE);
      await clock.advance(0);
    }
    repairs.changed(CHANGE);
    repairs.stop();
    await clock.advance(1000);
    expect(times).toHaveLength(before);
  });
});
