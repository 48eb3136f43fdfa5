/** Reads and writes kernel settings: numbers in files of /proc and /sys. */
import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";
import { describeCause } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Problem } from "../problems/problem.ts";

/** The sysctls of connection tracking. Some are global, others belong to our network namespace. */
export const NETFILTER_SYSCTLS = "/proc/sys/net/netfilter";

export class KernelFiles {
  readonly #root: string;

  /** `root` is "" except in tests. */
  constructor(root = "") {
    this.#root = root;
  }

  /** Returns the text of a file, or undefined if it cannot be read. */
  text(path: string): string | undefined {
    try {
      return readFileSync(this.#root + path, "latin1").trim();
    } catch {
      return undefined;
    }
  }

  /** Returns the number in a file, or undefined if there is none. */
  number(path: string): number | undefined {
    const text = this.text(path);
    return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined;
  }

  /**
   * Writes a number to an existing file. Returns "" or the cause of the failure, for example
   * `read-only file system (EROFS)`.
   */
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
      return describeCause(thrown);
    }
  }
}

export interface Sysctl {
  /** The name that sysctl(8) uses, for example `net.netfilter.nf_conntrack_max`. */
  readonly name: string;
  readonly path: string;
  readonly value: number;
  /** The configuration field that it comes from. */
  readonly field: string;
}

/** Returns the subject of problems with a sysctl. */
export function subjectOf(name: string): string {
  return `sysctl ${name}`;
}

/**
 * Writes a sysctl with the current value `before`. Returns a failure as a problem with a remedy.
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
  const hint = `run \`sysctl -w ${name}=${value}\` on the node, or sluice --init-only with all privileges`;
  const message = `change ${name} from ${before} to ${value}: ${failure} (${hint})`;
  return { subject: subjectOf(name), code: "SYSCTL_REFUSED", field, message };
}
