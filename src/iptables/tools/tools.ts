/** Runs the iptables tools of one family and variant to read and write the kernel's tables. */
import { SluiceError } from "../../base/errors.ts";
import { RESTORE_TIMEOUT_MS, XTABLES_LOCK_SECONDS } from "../../base/limits.ts";
import type { Family } from "../../net/address.ts";
import type { IptablesTable, Variant } from "../syntax/known-chains.ts";
import type { FoundTool } from "./find-tools.ts";
import { NftInfo } from "./nft-info.ts";
import { exitMessage, type RestoreRefusal, readRefusal } from "./restore-errors.ts";
import { runTool, toolFailedError } from "./run-tool.ts";

/** The nft variant's output for a chain with rules that iptables cannot express. */
const INCOMPATIBLE = "is incompatible, use 'nft' tool";

export type RestoreResult = { readonly ok: true } | ({ readonly ok: false } & RestoreRefusal);

export interface IptablesTools {
  readonly family: Family;
  readonly variant: Variant;
  /** Path of iptables or ip6tables. Its -save and -restore have this path plus the suffix. */
  readonly path: string;
  /** `1.8.9`; "" if the tool does not print it. */
  readonly version: string;
  /** The tool supports `--random-fully`. */
  readonly randomFully: boolean;
  /**
   * Passes `text`, for one or several tables, to iptables-restore, which leaves everything else
   * alone. Each table changes as a whole or not at all. If a table is refused, the tables before it
   * have been changed. Never throws for a failure of the tool: the result is then `failed`, and any
   * part may have been written.
   */
  restore(text: string): Promise<RestoreResult>;
  /**
   * The output of iptables-save for a table, with counters and comments.
   * @throws SluiceError TOOL_FAILED
   */
  save(table: IptablesTable): Promise<string>;
  /**
   * A chain in the format of `iptables -S`; undefined if it does not exist.
   * @throws SluiceError TOOL_FAILED
   */
  list(table: IptablesTable, chain: string): Promise<string | undefined>;
}

export class Tools implements IptablesTools {
  readonly family: Family;
  readonly variant: Variant;
  readonly path: string;
  readonly version: string;
  readonly randomFully: boolean;
  readonly #restoreArgs: readonly string[];

  constructor({ family, variant, path, version }: FoundTool) {
    this.family = family;
    this.variant = variant;
    this.path = path;
    this.version = version;
    const { randomFully, restoreWait } = toolCapabilities(version);
    this.randomFully = randomFully;
    this.#restoreArgs = [...(restoreWait ? ["-w", String(XTABLES_LOCK_SECONDS)] : []), "--noflush"];
  }

  async restore(text: string): Promise<RestoreResult> {
    const command = `${this.path}-restore`;
    try {
      const options = { input: text, timeout: RESTORE_TIMEOUT_MS };
      const { status, stderr } = await runTool(command, this.#restoreArgs, options);
      return status === 0 ? { ok: true } : { ok: false, ...readRefusal(command, stderr, text) };
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      return { ok: false, kind: "failed", lines: [], message: error.message };
    }
  }

  async save(table: string): Promise<string> {
    const command = `${this.path}-save`;
    const args = ["-t", table];
    const { status, stdout, stderr } = await runTool(command, args);
    if (status !== 0) throw toolFailedError(command, args, exitMessage(status, stderr));
    // The nft variant then prints only this line and exits with status 0.
    const refused = /^# (.* is incompatible, .*)$/m.exec(stdout);
    if (refused?.[1] !== undefined) throw toolFailedError(command, args, refused[1]);
    return stdout;
  }

  async list(table: string, chain: string): Promise<string | undefined> {
    // iptables-legacy would take the xtables lock for this. iptables-legacy-save never does.
    if (this.variant === "legacy") return chainOf(await this.save(table), chain);
    const args = ["-t", table, "-S", chain];
    const { status, stdout, stderr } = await runTool(this.path, args);
    if (status === 0) return stdout;
    if (status === 1 && stderr.includes("No chain")) return undefined;
    // 1.8.9 also prints this for a chain that does not exist.
    if (stderr.includes(INCOMPATIBLE) && !this.#hasNftChain(table, chain)) return undefined;
    throw toolFailedError(this.path, args, exitMessage(status, stderr));
  }

  #hasNftChain(table: string, chain: string): boolean {
    const info = new NftInfo();
    try {
      return info.hasChain(this.family, table, chain);
    } finally {
      info.close();
    }
  }
}

/**
 * Converts a chain in the output of iptables-save to the format of `iptables -S`; undefined if it
 * does not exist.
 */
function chainOf(saved: string, chain: string): string | undefined {
  const lines = saved.split("\n");
  const head = lines.find((line) => line.startsWith(`:${chain} `));
  if (head === undefined) return undefined;
  const policy = head.split(" ")[1] ?? "-";
  const first = policy === "-" ? `-N ${chain}` : `-P ${chain} ${policy}`;
  const rules = lines.filter((line) => line.startsWith(`-A ${chain} `));
  return [first, ...rules, ""].join("\n");
}

/** Capabilities of a tool, by its version. */
export interface ToolCapabilities {
  /** iptables-restore has `-w`. Older versions do not even take the xtables lock. */
  readonly restoreWait: boolean;
  readonly randomFully: boolean;
}

// The first versions with each feature, as in kubernetes pkg/util/iptables/iptables.go.
const RESTORE_WAIT = [1, 6, 2] as const;
const RANDOM_FULLY = [1, 6, 2] as const;

/** `version`: `1.8.9`. An unknown version ("") counts as a new one. */
export function toolCapabilities(version: string): ToolCapabilities {
  const numbers = version.split(".").map(Number);
  const since = (first: readonly number[]) => {
    for (const [index, number] of first.entries()) {
      const has = numbers[index] ?? 0;
      if (has !== number) return !(has < number);
    }
    return true;
  };
  const known = version !== "";
  return {
    restoreWait: !known || since(RESTORE_WAIT),
    randomFully: !known || since(RANDOM_FULLY),
  };
}
