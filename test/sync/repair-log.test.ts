import { beforeEach, expect, test } from "bun:test";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { createLogger } from "../../src/base/log.ts";
import { RepairLog, type RepairReport } from "../../src/sync/repair-log.ts";

const REPAIR: RepairReport = {
  change: { what: "rules of services4", by: "nft (pid 7)" },
  changes: 3,
  driftedCounts: { chain: 1, element: 40 },
  durationMs: 4.25,
};

let clock: FakeClock;
let lines: string[];
beforeEach(() => {
  clock = new FakeClock(0);
  lines = [];
});

function repairLog(verbosity = 0): RepairLog {
  const write = (line: string) => lines.push(line);
  return new RepairLog(
    clock,
    createLogger({ verbosity, format: "text", now: () => 0, write, pid: 1 }),
  );
}

/** Reports a repair every `ms` for this time. */
async function storm(log: RepairLog, ms: number, forMs: number): Promise<void> {
  for (const end = clock.now() + forMs; clock.now() < end; ) {
    log.repaired(REPAIR);
    await clock.advance(ms);
  }
}

test("a line names the program, its change and the drift", () => {
  repairLog().repaired(REPAIR);
  const [line = "", ...more] = lines;
  expect(more).toEqual([]);
  expect(line).toContain(" repair-log.ts:");
  expect(line).toContain('what="rules of services4" by="nft (pid 7)" changes=3');
  expect(line).toContain('repaired="chains: 1, elements: 40" durationMs=4.25');
});

test("without drift, it is at -v 2 only", () => {
  repairLog(1).repaired({ ...REPAIR, driftedCounts: {} });
  expect(lines).toEqual([]);
  repairLog(2).repaired({ ...REPAIR, driftedCounts: {} });
  expect(lines).toEqual([expect.stringContaining("found no drift")]);
});

test("in a storm, five lines are followed by one each minute, with the sum", async () => {
  await storm(repairLog(), 1000, 600_000);
  expect(lines).toHaveLength(5 + 10);
  expect(lines.at(5)).toContain(
    'keeps changing repairs=55 changes=165 what="rules of services4" by="nft (pid 7)" repaired="chains: 55, elements: 2200"',
  );
  expect(lines.at(-1)).toContain("repairs=60 changes=180");
});

test("after a storm, repairs have lines again", async () => {
  const log = repairLog();
  await storm(log, 1000, 120_000);
  await clock.advance(60_000);
  lines.length = 0;
  expect(clock.waiting).toBe(0);
  log.repaired(REPAIR);
  expect(lines).toEqual([expect.stringContaining("durationMs=4.25")]);
});

test("occasional repairs always have a line", async () => {
  await storm(repairLog(), 20_000, 600_000);
  expect(lines).toHaveLength(30);
});
