/**
 * Releases memory that only the start or a large load needed: garbage, and pages of the program
 * itself. Of 78 MB of program text, the start touches 36 MB; later code touches 10 MB.
 */
import { readFileSync } from "node:fs";
import type { Clock } from "../base/clock.ts";
import { LARGE_SYNC_OPERATIONS, RELEASE_MEMORY_MS } from "../base/limits.ts";
import { madvise } from "./libc.ts";
import { MADV_DONTNEED } from "./posix.ts";

/**
 * Reclaims memory after a period without changes, and therefore never while a change is being
 * applied. It collects garbage only after the start or after many operations, because that takes
 * about 10 ms.
 */
export class MemoryReclaimer {
  readonly #clock: Clock;
  #operations = LARGE_SYNC_OPERATIONS;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Call this at the end of a start phase that handled this many objects. The next phase runs other
   * parts of the program; without a release in between, their memory adds up.
   */
  phaseEnded(objects = 0): void {
    if (objects > LARGE_SYNC_OPERATIONS) releaseGarbage();
    releaseProgramText();
  }

  /** Call this after a sync with this many operations. Others may follow. */
  syncCompleted(operations: number): void {
    this.#operations += operations;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#start();
  }

  /** Call this after answering a request. It does not delay a reclamation that is already due. */
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

/** Collects garbage, which takes about 10 ms depending on the heap size. */
function releaseGarbage(): void {
  Bun.gc(true);
}

/**
 * Drops the program's own text from resident memory. The text is never written to, so nothing is
 * lost. If the mappings cannot be read, for example because no file descriptor is free, it stays
 * resident.
 */
export function releaseProgramText(): void {
  let maps: string;
  try {
    maps = readFileSync("/proc/self/maps", "latin1");
  } catch {
    return;
  }
  for (const { start, end } of textMappings(maps)) {
    // On the next access the kernel reads the pages again, from the page cache.
    madvise(start, end - start, MADV_DONTNEED);
  }
}

/** Finds the running program's executable mappings in the text of /proc/PID/maps (proc(5)). */
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
 * Matches a private, executable, read-only mapping:
 * `00200000-01a39000 r-xp 00000000 fe:00 1234   /usr/bin/sluice`.
 */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \S+ +(\/.*)$/;
