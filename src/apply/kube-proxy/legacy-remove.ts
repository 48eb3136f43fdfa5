/** Takes kube-proxy's chains out of the tables of iptables-legacy, by its tools. */
import type { LegacyTables } from "../iptables/legacy.ts";
import { parseSaved, printRemoval } from "../iptables/save.ts";
import { findLeftovers, type Xtable } from "./chains.ts";
import { neededOf } from "./firewall.ts";
import { NOTHING, type Removal, removalOf } from "./removal.ts";

/** `iptables' table nat (legacy)` */
export function legacyTable(tables: LegacyTables, table: string): string {
  return `${tables.family === 4 ? "iptables" : "ip6tables"}' table ${table} (legacy)`;
}

/**
 * Does it for one table that is in use. `keepNeeded`: chains without which a policy would drop stay.
 * @throws SluiceError TOOL_FAILED
 */
export async function removeLegacy(
  tables: LegacyTables,
  table: Xtable,
  keepNeeded: boolean,
): Promise<Removal> {
  const { chains, rules } = parseSaved(await tables.save(table));
  const rulesOf = (chain: string) => Promise.resolve(rules.get(chain) ?? []);
  const needed = table === "filter" ? await neededOf(chains, rulesOf) : [];
  const leftovers = await findLeftovers(table, chains, rulesOf, needed, keepNeeded);
  if (leftovers.chains.length === 0 && leftovers.jumps.length === 0 && leftovers.kept.length === 0)
    return NOTHING;
  await tables.restore(table, printRemoval(table, leftovers));
  return removalOf(legacyTable(tables, table), leftovers);
}
