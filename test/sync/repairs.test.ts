import { beforeEach, describe, expect, test } from "bun:test";
import { createLogger } from "../../src/log.ts";
import { Repairs } from "../../src/sync/repairs.ts";
import { FakeClock } from "./fake-clock.ts";

const CHANGE = { what: "rules of services4", by: "nft (pid 7)" };

let clock: FakeClock;
let times: number[];
let lines: string[];
let repairs: Repairs;

beforeEach(() => {
  clock = new FakeClock(0);
  times = [];
  lines = [];
  const now = () => clock.now();
  const write = (line: string) => lines.push(line);
  repairs = new Repairs({
    clock,
    log: createLogger({ verbosity: 0, format: "text", now, write, pid: 1 }),
    repair: () => times.push(clock.now()),
  });
});

/** Somebody undoes each repair after `ms`, until `end`. */
async function fight(ms: number, end: number): Promise<void> {
  while (clock.now() < end) {
    repairs.changed(CHANGE);
    await clock.advance(ms);
  }
}

const gaps = () => times.slice(1).map((time, index) => time - (times[index] ?? 0));

describe("Repairs", () => {
  test("one change is repaired at once, and said with who did what", async () => {
    repairs.changed(CHANGE);
    await clock.advance(0);
    expect(times).toEqual([0]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('what="rules of services4" by="nft (pid 7)"');
  });

  test("changes that come together are one repair and one line", async () => {
    for (let i = 0; i < 1000; i++) repairs.changed(CHANGE);
    await clock.advance(0);
    expect(times).toEqual([0]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("changes=1000");
  });

  test("a burst that goes on is repaired at its start and after a while", async () => {
    await fight(1, 100);
    await clock.advance(1000);
    expect(times).toEqual([0, 250]);
  });

  test("somebody who undoes every repair is answered ever more slowly", async () => {
    await fight(10, 300_000);
    expect(gaps().slice(0, 6)).toEqual([250, 250, 250, 250, 500, 1000]);
    expect(Math.max(...gaps())).toBe(30_000);
    expect(times.length).toBeLessThan(25);
    expect(lines.filter((line) => line.includes("has to wait")).length).toBeGreaterThan(0);
    expect(lines.length).toBeLessThan(2 * times.length);
  });

  test("a change now and then is repaired at once for ever", async () => {
    for (let i = 0; i < 100; i++) {
      await clock.advance(10_001);
      repairs.changed(CHANGE);
      await clock.advance(0);
      expect(times.at(-1)).toBe(clock.now());
    }
    expect(times).toHaveLength(100);
  });

  test("after a time of calm a fight is forgiven", async () => {
    await fight(10, 100_000);
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
  ])("a stop calls off a repair %s", async (_, before) => {
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
