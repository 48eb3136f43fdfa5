/**
 * Waits for the xtables lock during a start, without a limit. The rules of the previous run keep
 * serving, and giving up would not help anyone.
 */
import type { Logger } from "../../base/log.ts";
import type { Family } from "../../net/address.ts";
import type { IptablesTable, Variant } from "../syntax/known-chains.ts";
import type { IptablesTools, RestoreResult } from "./tools.ts";

/**
 * Pause between two attempts, in ms. In each attempt, the tool itself waits XTABLES_LOCK_SECONDS,
 * unless it is too old.
 */
const PAUSE_MS = 100;

/** Returns the command that shows which process holds the lock. */
export function lockHint(): string {
  return `fuser -v ${process.env["XTABLES_LOCKFILE"] ?? "/run/xtables.lock"}`;
}

/** Called after each restore that did not get the lock. */
export type OnLocked = () => void;

/** Like `tools.restore`, but retries for as long as another process holds the lock. */
export async function restoreWhenUnlocked(
  tools: Pick<IptablesTools, "restore">,
  text: string,
  locked: OnLocked,
): Promise<RestoreResult> {
  for (;;) {
    const result = await tools.restore(text);
    if (result.ok || result.kind !== "locked") return result;
    locked();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** Logs once that the start is waiting for the lock. */
export function logLocked(log: Logger | undefined): OnLocked {
  return () => {
    if (!log?.firstTime("iptables start locked")) return;
    log.warn("Waiting for the xtables lock, which another program holds", { hint: lockHint() });
  };
}

/** Tools with restores that wait for the lock without a limit, until `stopWaiting`. */
export class LockWaitingTools implements IptablesTools {
  readonly family: Family;
  readonly variant: Variant;
  readonly path: string;
  readonly version: string;
  readonly randomFully: boolean;
  readonly #tools: IptablesTools;
  #locked: OnLocked | undefined;

  constructor(tools: IptablesTools, locked: OnLocked) {
    ({
      family: this.family,
      variant: this.variant,
      path: this.path,
      version: this.version,
      randomFully: this.randomFully,
    } = tools);
    this.#tools = tools;
    this.#locked = locked;
  }

  /** From now on, a restore that does not get the lock fails, and the caller retries. */
  stopWaiting(): void {
    this.#locked = undefined;
  }

  restore(text: string): Promise<RestoreResult> {
    const locked = this.#locked;
    return locked ? restoreWhenUnlocked(this.#tools, text, locked) : this.#tools.restore(text);
  }

  save(table: IptablesTable): Promise<string> {
    return this.#tools.save(table);
  }

  list(table: IptablesTable, chain: string): Promise<string | undefined> {
    return this.#tools.list(table, chain);
  }
}
