/** Numbers in files of /proc and /sys. */
import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";

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
