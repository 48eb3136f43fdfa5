/** How a start waits for the xtables lock: without end, since the rules that are there serve on, and a start that gives up helps nobody. */
import type { Logger } from "../../base/log.ts";
import type { Family } from "../../net/address.ts";
import type { Variant, Xtable } from "../syntax/known-chains.ts";
import type { RestoreResult, XtTools } from "./tools.ts";

/** After the tool itself has waited, if it does. */
const PAUSE_MS = 100;
const FILE = "/run/xtables.lock";

/** Called each time that the lock was waited for in vain. */
export type Locked = () => void;

/** As `tools.restore`, but never refused for the lock. */
export async function restoreOnceFree(
  tools: Pick<XtTools, "restore">,
  text: string,
  locked: Locked,
): Promise<RestoreResult> {
  for (;;) {
    const result = await tools.restore(text);
    if (result.ok || result.kind !== "locked") return result;
    locked();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** Says once that the start waits. */
export function sayLocked(log: Logger | undefined): Locked {
  return () => {
    if (!log?.once("iptables start locked")) return;
    const file = process.env["XTABLES_LOCKFILE"] ?? FILE;
    log.warn(`Waiting for the xtables lock, which another program holds: fuser -v ${file}`, {
      meanwhile: "the rules that are there serve; nothing else is begun, no port is opened",
    });
  };
}

/** Tools whose restores wait for the lock, until they are to hurry. */
export class PatientTools implements XtTools {
  readonly family: Family;
  readonly variant: Variant;
  readonly path: string;
  readonly version: string;
  readonly randomFully: boolean;
  readonly #tools: XtTools;
  #locked: Locked | undefined;

  constructor(tools: XtTools, locked: Locked) {
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

  /** From now on a restore is refused for the lock: whoever asked tries again. */
  hurry(): void {
    this.#locked = undefined;
  }

  restore(text: string): Promise<RestoreResult> {
    const locked = this.#locked;
    return locked ? restoreOnceFree(this.#tools, text, locked) : this.#tools.restore(text);
  }

  save(table: Xtable): Promise<string> {
    return this.#tools.save(table);
  }

  list(table: Xtable, chain: string): Promise<string | undefined> {
    return this.#tools.list(table, chain);
  }
}
