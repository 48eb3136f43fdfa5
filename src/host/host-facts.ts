/** Reads facts about the machine. */
import { cpus, release } from "node:os";
import { KernelFiles } from "./kernel-files.ts";

export interface HostFacts {
  /** The output of `uname -r`. */
  readonly kernelRelease: string;
  /** The number of online CPUs, even if this process may use fewer. */
  readonly cpus: number;
}

/** Reads two small files. */
export function hostFacts(files = new KernelFiles()): HostFacts {
  const online = countCpuList(files.text("/sys/devices/system/cpu/online") ?? "");
  return { kernelRelease: release(), cpus: online || cpus().length || 1 };
}

/** Counts the members of a list like `0-3,8`. Returns 0 if it is not a list. */
export function countCpuList(list: string): number {
  let count = 0;
  for (const range of list.split(",")) {
    const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? [];
    if (first === undefined) return 0;
    count += Number(last ?? first) - Number(first) + 1;
  }
  return count;
}
