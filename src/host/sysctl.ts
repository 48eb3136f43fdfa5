/** Writing one setting of the kernel, and what there is to say about it. */
import type { Logger } from "../base/log.ts";
import type { Problem } from "../problems/problem.ts";
import type { KernelFiles } from "./kernel-files.ts";

export interface Sysctl {
  /** As sysctl(8) has it: `net.netfilter.nf_conntrack_max`. */
  readonly name: string;
  readonly path: string;
  readonly value: number;
  /** Field of the configuration that it comes from. */
  readonly field: string;
}

/** What the problem with a sysctl is about. */
export function subjectOf(name: string): string {
  return `sysctl ${name}`;
}

/** Writes it; `before` is what it is now. A failure is returned as a problem that says what to do. */
export function setSysctl(
  { name, path, value, field }: Sysctl,
  before: number | undefined,
  files: KernelFiles,
  log: Logger,
): Problem | undefined {
  const failure = files.write(path, value);
  if (failure === "") {
    log.info("Set sysctl", { name, value, before });
    return undefined;
  }
  const message = `Cannot set ${name}: it must be ${value}, by a run with --init-only and all rights, or by "sysctl -w ${name}=${value}" on the machine, but writing it here fails with ${failure}: current value is ${before}`;
  return { subject: subjectOf(name), code: "SYSCTL_REFUSED", field, message };
}
