/** What the machine is. */
import { cpus, release } from "node:os";
import { KernelFiles } from "./kernel-files.ts";

export interface HostFacts {
  /** `uname -r` */
  readonly kernelRelease: string;
  /** Processors that are online, whatever this process may use of them. */
  readonly cpus: number;
}

/** Reads two small files. */
export function hostFacts(files = new KernelFiles()): HostFacts {
  const online = countOf(files.text("/sys/devices/system/cpu/online") ?? "");
  return { kernelRelease: release(), cpus: online || cpus().length || 1 };
}

/** Members of a list like `0-3,8`; 0 if it is none. */
export function countOf(list: string): number {
  let count = 0;
  for (const range of list.split(",")) {
    const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? [];
    if (first === undefined) return 0;
    count += Number(last ?? first) - Number(first) + 1;
  }
  return count;
}
