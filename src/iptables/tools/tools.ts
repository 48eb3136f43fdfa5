/** The tools of iptables, of one family and variant: how the kernel's tables are read and written. */
import { SluiceError } from "../../base/errors.ts";
import { RESTORE_TIMEOUT_MS, XTABLES_LOCK_SECONDS } from "../../base/limits.ts";
import type { Family } from "../../net/address.ts";
import type { Xtable } from "../syntax/known-chains.ts";
import type { Variant } from "../syntax/types.ts";
import type { FoundTool } from "./find-tools.ts";
import { NftInfo } from "./nft-info.ts";
import { type Refused, readRefusal, toolWords } from "./restore-errors.ts";
import { failed, run } from "./run-tool.ts";
import { capabilitiesOf } from "./version.ts";

/** What the nft variant says of a chain with rules that iptables could not have written. */
const INCOMPATIBLE = "is incompatible, use 'nft' tool";

export type RestoreResult = { readonly ok: true } | ({ readonly ok: false } & Refused);

export interface XtTools {
  readonly family: Family;
  readonly variant: Variant;
  /** Of iptables or ip6tables; those to save and restore are beside it, with its name before theirs. */
  readonly path: string;
  /** `1.8.9`; "" if it does not tell. */
  readonly version: string;
  /** Does the tool know `--random-fully`? */
  readonly randomFully: boolean;
  /**
   * Hands `text`, of one or several tables, to iptables-restore, which leaves alone what is not in it. Each table is
   * changed as a whole or not at all; those before the one at fault have been changed. Never throws for what the
   * tool does: that is `failed`, after which nothing is known about what was written.
   */
  restore(text: string): Promise<RestoreResult>;
  /** What iptables-save prints of a table, counters and comments included. @throws SluiceError TOOL_FAILED */
  save(table: Xtable): Promise<string>;
  /** A chain, as `iptables -S` prints it; undefined if there is none. @throws SluiceError TOOL_FAILED */
  list(table: Xtable, chain: string): Promise<string | undefined>;
}

export class Tools implements XtTools {
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
    const { randomFully, restoreWait } = capabilitiesOf(version);
    this.randomFully = randomFully;
    this.#restoreArgs = [...(restoreWait ? ["-w", String(XTABLES_LOCK_SECONDS)] : []), "--noflush"];
  }

  async restore(text: string): Promise<RestoreResult> {
    const command = `${this.path}-restore`;
    try {
      const options = { input: text, timeout: RESTORE_TIMEOUT_MS };
      const { status, complaint } = await run(command, this.#restoreArgs, options);
      return status === 0 ? { ok: true } : { ok: false, ...readRefusal(command, complaint, text) };
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      return { ok: false, kind: "failed", lines: [], message: error.message };
    }
  }

  async save(table: string): Promise<string> {
    const command = `${this.path}-save`;
    const args = ["-t", table];
    const { status, output, complaint } = await run(command, args);
    if (status !== 0) throw failed(command, args, toolWords(complaint));
    // That is all it prints then, with the status of success.
    const refused = /^# (.* is incompatible, .*)$/m.exec(output);
    if (refused?.[1] !== undefined) throw failed(command, args, refused[1]);
    return output;
  }

  async list(table: string, chain: string): Promise<string | undefined> {
    // `iptables` would take the xtables lock, here alone; iptables-save never does.
    if (this.variant === "legacy") return chainOf(await this.save(table), chain);
    const args = ["-t", table, "-S", chain];
    const { status, output, complaint } = await run(this.path, args);
    if (status === 0) return output;
    if (status === 1 && complaint.includes("No chain")) return undefined;
    // 1.8.9 says so of a chain that is not there, too.
    if (complaint.includes(INCOMPATIBLE) && !this.#hasNftChain(table, chain)) return undefined;
    throw failed(this.path, args, toolWords(complaint));
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

/** What `iptables -S` prints of a chain, from what iptables-save does; undefined if there is none. */
function chainOf(saved: string, chain: string): string | undefined {
  const lines = saved.split("\n");
  const head = lines.find((line) => line.startsWith(`:${chain} `));
  if (head === undefined) return undefined;
  const policy = head.split(" ")[1] ?? "-";
  const first = policy === "-" ? `-N ${chain}` : `-P ${chain} ${policy}`;
  const rules = lines.filter((line) => line.startsWith(`-A ${chain} `));
  return [first, ...rules, ""].join("\n");
}
