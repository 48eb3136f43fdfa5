/** What a refused restore means to whoever asked for it. Pure. */

import type { Receipt } from "../backend/backend.ts";
import { SluiceError } from "../base/errors.ts";
import type { FamilyRules, RefusedRestore } from "./family.ts";

/** Of a line, so much is repeated. */
const WORDS_MAX = 300;

/** A change that was not made. */
export type Failure = Extract<Receipt, { readonly ok: false }>;

/** What two families refused of one change: whatever is to be done for either is done. */
export function joined(first: Failure | undefined, second: Failure): Failure {
  if (first === undefined) return second;
  const drifted = first.drifted === true || second.drifted === true;
  return { ...first, transient: first.transient || second.transient, drifted };
}

/** `name`: of the owner of the rule at fault, if there is one. */
export function failure(
  { tools }: Pick<FamilyRules, "tools">,
  { result, owner, words, drifted }: RefusedRestore,
  name: string | undefined,
): Failure {
  const { kind, line, message } = result;
  const whose =
    name === undefined ? "rules" : name === "" ? "rules of the node" : `rules of ${name}`;
  const where = line === undefined ? "" : ` (line ${line}: ${words.slice(0, WORDS_MAX)})`;
  const rule = kind === "locked" ? "the xtables lock must be free" : "it must take them";
  const error = new SluiceError(
    kind === "line" ? "RULES_REFUSED" : "TOOL_FAILED",
    `Cannot write ${whose} by ${tools.path}-restore: ${rule}: ${message}${where}`,
    name === undefined || name === "" ? tools.path : `Service ${name}`,
  );
  return {
    ok: false,
    error,
    // What nobody is to blame for may pass.
    transient: kind !== "line",
    drifted,
    ...(owner === undefined ? {} : { owner }),
  };
}
