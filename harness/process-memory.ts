/** Reads the memory of a process by kind, for the demo and the benchmark. */
import { readFileSync } from "node:fs";

/** Resident memory in mebibytes (proc_pid_status(5)). */
export interface ProcessMemory {
  /** Heaps and stacks: what the process alone costs a node. */
  readonly anonymous: number;
  /** Pages of files, mostly program text. The kernel can drop them and read them again. */
  readonly fileBacked: number;
  /** All resident memory, and the most that it ever was. The kernel keeps no other peak. */
  readonly resident: number;
  readonly peak: number;
}

export function memoryOf(pid: number): ProcessMemory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const mebibytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
  return {
    anonymous: mebibytes("RssAnon"),
    fileBacked: mebibytes("RssFile"),
    resident: mebibytes("VmRSS"),
    peak: mebibytes("VmHWM"),
  };
}

const SAMPLE_MS = 20;

/** Follows a process and keeps the most of each kind that it saw. */
export class MemorySampler {
  readonly #pid: number;
  readonly #timer: ReturnType<typeof setInterval>;
  #anonymous = 0;
  #fileBacked = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  /** The most that any sample had, in mebibytes. A peak between two samples is missed. */
  get most(): { readonly anonymous: number; readonly fileBacked: number } {
    this.#sample();
    return { anonymous: this.#anonymous, fileBacked: this.#fileBacked };
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sample(): void {
    try {
      const { anonymous, fileBacked } = memoryOf(this.#pid);
      this.#anonymous = Math.max(this.#anonymous, anonymous);
      this.#fileBacked = Math.max(this.#fileBacked, fileBacked);
    } catch {
      // It has exited.
    }
  }
}
