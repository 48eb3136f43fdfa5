/**
 * The tables of iptables-legacy (ip_tables), which only its own tools can read and write. Nothing here loads a
 * kernel module: a table that nobody has used in this network namespace is not asked for.
 */
import { accessSync, constants } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SluiceError } from "../../errors.ts";
import type { Family } from "../../plan/tables.ts";
import { failed, run } from "./run.ts";

/** Seconds to wait for the xtables lock, as kube-proxy does (pkg/util/iptables: WaitSecondsValue). */
const LOCK_SECONDS = "5";
/** Where the tools are, also for a supervisor that hands down a short PATH. */
const FOLDERS = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/** The names of tools of a family without "-save" and so on, the likeliest first. */
const NAMES: { readonly [family in Family]: readonly string[] } = {
  4: ["iptables-legacy", "iptables"],
  6: ["ip6tables-legacy", "ip6tables"],
};
const LISTS = { 4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names" } as const;

export interface LegacyOptions {
  /** In place of the environment's PATH and FOLDERS. */
  readonly folders?: readonly string[];
}

/** iptables-legacy of one family. */
export class LegacyTables {
  readonly family: Family;
  readonly #folders: readonly string[];
  #tool: string | undefined;

  constructor(family: Family, options: LegacyOptions = {}) {
    this.family = family;
    this.#folders = options.folders ?? [...(process.env["PATH"] ?? "").split(":"), ...FOLDERS];
  }

  /**
   * Names of the tables in use in this network namespace.
   * @throws SluiceError PERMISSION_DENIED
   */
  async names(): Promise<string[]> {
    const path = LISTS[this.family];
    try {
      return (await readFile(path, "utf8")).split("\n").filter((name) => name !== "");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      const message = `Cannot read ${path}: it must be readable: ${String(error)}`;
      throw new SluiceError("PERMISSION_DENIED", message, path, { cause: error });
    }
  }

  /** Is there a tool that reads and writes these tables? */
  async usable(): Promise<boolean> {
    this.#tool ??= await this.#find();
    return this.#tool !== undefined;
  }

  /** @throws SluiceError TOOL_FAILED */
  async hasChain(table: string, chain: string): Promise<boolean> {
    // The first rule only: there may be very many.
    return (await this.#list(table, chain, "1")) !== undefined;
  }

  /** A chain, as `iptables -S` prints it; undefined if there is none. @throws SluiceError TOOL_FAILED */
  async list(table: string, chain: string): Promise<string | undefined> {
    return this.#list(table, chain);
  }

  /** What iptables-save prints of a table. @throws SluiceError TOOL_FAILED */
  async save(table: string): Promise<string> {
    return this.#run("-save", ["-t", table]);
  }

  /** Hands `text` to iptables-restore, which takes all of it or nothing. @throws SluiceError TOOL_FAILED */
  async restore(table: string, text: string): Promise<void> {
    await this.#run("-restore", ["--noflush", "-w", LOCK_SECONDS, "-T", table], text);
  }

  async #list(table: string, ...which: string[]): Promise<string | undefined> {
    const command = await this.#named("");
    const args = ["-w", LOCK_SECONDS, "-t", table, "-S", ...which];
    const { status, output, complaint } = await run(command, args);
    if (status === 0) return output;
    if (status === 1 && complaint.includes("No chain")) return undefined;
    throw failed(command, args, complaint);
  }

  async #run(suffix: string, args: readonly string[], input = ""): Promise<string> {
    const command = await this.#named(suffix);
    const { status, output, complaint } = await run(command, args, input);
    if (status !== 0) throw failed(command, args, complaint);
    return output;
  }

  async #named(suffix: string): Promise<string> {
    if (await this.usable()) return `${this.#tool}${suffix}`;
    const [name = ""] = NAMES[this.family];
    throw failed(`${name}${suffix}`, [], "it is not installed");
  }

  /** The path of a tool that has all it takes, and is not the one for nf_tables. */
  async #find(): Promise<string | undefined> {
    for (const name of NAMES[this.family]) {
      for (const folder of this.#folders) {
        const path = join(folder, name);
        if (!["", "-save", "-restore"].every((suffix) => isExecutable(`${path}${suffix}`)))
          continue;
        // Before 1.8 there was no other one, and no word about it in the version.
        const { output } = await run(path, ["--version"]);
        if (!output.includes("nf_tables")) return path;
      }
    }
    return undefined;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
