/** Removes kube-proxy's chains, ours among them, and the jumps to them. */
import { SluiceError } from "../../errors.ts";
import { findLeftovers, XTABLES } from "../kube-proxy/chains.ts";
import { parseSaved, printRemoval } from "./save.ts";
import type { XtTools } from "./tools/tools.ts";

/**
 * Chains that rules of others lead to stay. True if there were any to remove.
 * @throws SluiceError TOOL_FAILED
 */
export async function removeRules(tools: XtTools): Promise<boolean> {
  let removed = false;
  for (const table of XTABLES) {
    const { chains, rules } = parseSaved(await tools.save(table));
    const rulesOf = async (chain: string) => rules.get(chain) ?? [];
    const leftovers = await findLeftovers(table, chains, rulesOf);
    if (leftovers.jumps.length === 0 && leftovers.chains.length === 0) continue;
    const result = await tools.restore(printRemoval(table, leftovers));
    if (!result.ok) {
      const message = `Cannot remove chains from table ${table} by ${tools.path}-restore: it must take that: ${result.message}`;
      throw new SluiceError("TOOL_FAILED", message, tools.path);
    }
    removed = true;
  }
  return removed;
}
