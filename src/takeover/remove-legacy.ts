/** Takes chains of kube-proxy's names out of the tables of iptables-legacy, by its tools. */

import { parseSaved, printRemoval } from "../iptables/syntax/iptables-save.ts";
import type { Xtable } from "../iptables/syntax/known-chains.ts";
import type { LegacyTables } from "../iptables/tools/legacy-tables.ts";
import { type ChainsOptions, filterOf } from "./firewall.ts";
import { findLeftovers } from "./kube-proxy-chains.ts";
import { NOTHING, type Removal, removalOf, together } from "./removal.ts";

/** `iptables' table nat (legacy)` */
export function legacyTable(tables: LegacyTables, table: string): string {
  return `${tables.family === 4 ? "iptables" : "ip6tables"}' table ${table} (legacy)`;
}

/**
 * Does it for one table that is in use.
 * @throws SluiceError TOOL_FAILED
 */
export async function removeLegacy(
  tables: LegacyTables,
  table: Xtable,
  options: ChainsOptions,
): Promise<Removal> {
  const where = legacyTable(tables, table);
  const { chains, rules } = parseSaved(await tables.save(table));
  const rulesOf = (chain: string) => Promise.resolve(rules.get(chain) ?? []);
  const filter = table === "filter" ? await filterOf(where, chains, rulesOf, options) : undefined;
  const leftovers = await findLeftovers(table, chains, rulesOf, filter);
  const stays = filter?.stays ?? NOTHING;
  if (leftovers.chains.length === 0 && leftovers.jumps.length === 0 && leftovers.kept.length === 0)
    return stays;
  await tables.restore(table, printRemoval(table, leftovers));
  return together([removalOf(where, options.maker, leftovers), stays]);
}
