/** Settings of the kernel: reads and writes numbers in files of /proc and /sys. */
import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";
import type { Logger } from "../base/log.ts";
import type { Problem } from "../problems/problem.ts";

/** sysctls of connection tracking; those of this network namespace, where they have one. */
export const NETFILTER = "/proc/sys/net/netfilter";

export class KernelFiles {
  readonly #root: string;

  /** `root` is "" but in tests. */
  constructor(root = "") {
    this.#root = root;
  }

  /** The text of a file, or undefined if it cannot be read. */
  text(path: string): string | undefined {
    try {
      return readFileSync(this.#root + path, "latin1").trim();
    } catch {
      return undefined;
    }
  }

  /** The number in a file, or undefined if there is none. */
  number(path: string): number | undefined {
    const text = this.text(path);
    return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined;
  }

  /** Writes a number to a file that exists; the result is "", or the name of the errno: `EROFS`. */
  write(path: string, value: number): string {
    try {
      // Without O_CREAT, which would turn "no such file" into "no permission".
      const fd = openSync(this.#root + path, constants.O_WRONLY | constants.O_TRUNC);
      try {
        writeSync(fd, `${value}\n`);
      } finally {
        closeSync(fd);
      }
      return "";
    } catch (thrown) {
      const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
      return typeof code === "string" ? code : String(thrown);
    }
  }
}

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

/**
 * Writes it; `before` is what it is now. A failure is returned as a problem that says what to do.
 */
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
