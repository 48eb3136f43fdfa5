/**
 * Gives back memory that only the start or a large load needed: garbage, and pages of the program
 * itself. Of 78 MB of program text the start touches 36 MB; what runs later touches 10 MB.
 */
import { readFileSync } from "node:fs";
import type { Clock } from "../base/clock.ts";
import { LARGE_SYNC_OPERATIONS, RELEASE_MEMORY_MS } from "../base/limits.ts";
import { madvise } from "./libc.ts";
import { MADV_DONTNEED } from "./posix.ts";

/**
 * Reclaims memory once no change has come for a while, so never on the path of a change. It
 * collects garbage only after many operations or the start, since that takes about 10 ms.
 */
export class MemoryReclaimer {
  readonly #clock: Clock;
  #operations = LARGE_SYNC_OPERATIONS;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * A phase of the start ended, in which this many objects were handled. What follows runs other
   * parts of the program, so memory peaks at the sum of what is not released in between.
   */
  phaseEnded(objects = 0): void {
    if (objects > LARGE_SYNC_OPERATIONS) releaseGarbage();
    releaseProgramText();
  }

  /** A sync made this many operations. Others may follow. */
  syncCompleted(operations: number): void {
    this.#operations += operations;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#start();
  }

  /** A request was answered. Requests do not delay a reclamation that is already due. */
  requestServed(): void {
    if (this.#cancel === undefined) this.#start();
  }

  #start(): void {
    this.#cancel = this.#clock.after(RELEASE_MEMORY_MS, () => {
      this.#cancel = undefined;
      if (this.#operations >= LARGE_SYNC_OPERATIONS) releaseGarbage();
      this.#operations = 0;
      releaseProgramText();
    });
  }
}

/** Collects garbage: some 10 ms by the size of the heap. */
function releaseGarbage(): void {
  Bun.gc(true);
}

/**
 * Drops the program's own text from resident memory. It is never written to, so nothing can be
 * lost. Where the mappings cannot be read, for want of a descriptor, say, it stays.
 */
export function releaseProgramText(): void {
  let maps: string;
  try {
    maps = readFileSync("/proc/self/maps", "latin1");
  } catch {
    return;
  }
  for (const { start, end } of textMappings(maps)) {
    // The kernel reads the pages again, from the page cache, when they are next touched.
    madvise(start, end - start, MADV_DONTNEED);
  }
}

/** The executable mappings of the running program in the text of /proc/PID/maps (proc(5)). */
export function textMappings(maps: string, program = process.execPath): Mapping[] {
  return maps.split("\n").flatMap((line) => {
    const [, start, end, path] = MAPPING.exec(line) ?? [];
    if (start === undefined || end === undefined || path !== program) return [];
    return [{ start: Number.parseInt(start, 16), end: Number.parseInt(end, 16) }];
  });
}

interface Mapping {
  readonly start: number;
  readonly end: number;
}

/**
 * `00200000-01a39000 r-xp 00000000 fe:00 1234   /usr/bin/sluice`: private, executable, not writable.
 */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \S+ +(\/.*)$/;
