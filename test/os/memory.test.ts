import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { RELEASE_MEMORY_MS } from "../../src/base/limits.ts";
import { madvise } from "../../src/os/libc.ts";
import { MemoryReclaimer, releaseProgramText, textMappings } from "../../src/os/memory.ts";

const MAPS = `00200000-01a39000 r--p 00000000 fe:00 77                 /opt/a program
01a40000-0684a000 r-xp 0183f000 fe:00 77                 /opt/a program
06867000-07847000 rw-p 06866000 fe:00 77                 /opt/a program
2496ab10000-2496ab20000 rwxp 00000000 00:00 0
7fbc81950000-7fbc81aa6000 r-xp 00028000 fe:00 99         /usr/lib/libc.so.6
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]
`;

test("only the program's own executable pages are released", () => {
  expect(textMappings(MAPS, "/opt/a program")).toEqual([{ start: 0x1a40000, end: 0x684a000 }]);
});

/**
 * linux/mman.h: reads in all pages, so that there is something to release after any earlier test.
 */
const MADV_POPULATE_READ = 22;

/** KiB of files in memory, including the program's whole text. */
function residentWithText(): number {
  for (const { start, end } of textMappings(readFileSync("/proc/self/maps", "latin1"))) {
    expect(madvise(start, end - start, MADV_POPULATE_READ)).toBe(0);
  }
  return residentFile();
}

function residentFile(): number {
  return Number(/RssFile:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
}

test("the program continues after its text was released", () => {
  const before = residentWithText();
  releaseProgramText();
  expect(residentFile()).toBeLessThan(before);
});

test("memory is released once, after the last of several syncs", async () => {
  const clock = new FakeClock();
  const reclaimer = new MemoryReclaimer(clock);
  for (let i = 0; i < 5; i++) {
    reclaimer.syncCompleted(1);
    await clock.advance(RELEASE_MEMORY_MS - 1);
    expect(clock.waiting).toBe(1);
  }
  const before = residentWithText();
  await clock.advance(1);
  expect(clock.waiting).toBe(0);
  expect(residentFile()).toBeLessThan(before);
});

test("the end of a start phase releases memory at once", () => {
  const clock = new FakeClock();
  const reclaimer = new MemoryReclaimer(clock);
  const before = residentWithText();
  reclaimer.phaseEnded();
  expect(residentFile()).toBeLessThan(before);
  expect(clock.waiting).toBe(0);
});

test("continuous requests do not delay the release of memory", async () => {
  const clock = new FakeClock();
  const reclaimer = new MemoryReclaimer(clock);
  const before = residentWithText();
  for (let ms = 0; ms < RELEASE_MEMORY_MS; ms += 100) {
    reclaimer.requestServed();
    expect(clock.waiting).toBe(1);
    await clock.advance(100);
  }
  expect(clock.waiting).toBe(0);
  expect(residentFile()).toBeLessThan(before);
  reclaimer.requestServed();
  expect(clock.waiting).toBe(1);
});
