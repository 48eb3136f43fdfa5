/** What a refused restore means to whoever asked for it. Pure. */
import { SluiceError } from "../../errors.ts";
import type { Receipt } from "../backend.ts";
import type { FamilyRules, RefusedRestore } from "./family.ts";

/** Of a line, so much is repeated. */
const WORDS_MAX = 300;

/** `name`: of the owner of the rule at fault, if there is one. */
export function failure(
  { tools }: Pick<FamilyRules, "tools">,
  { result, owner, words, drifted }: RefusedRestore,
  name: string | undefined,
): Extract<Receipt, { readonly ok: false }> {
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
