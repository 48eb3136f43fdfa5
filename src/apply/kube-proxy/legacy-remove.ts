/** Takes kube-proxy's chains out of the tables of iptables-legacy, by its tools. */
import type { LegacyTables } from "../iptables/legacy.ts";
import { parseSaved, printRemoval } from "../iptables/save.ts";
import { findLeftovers, type Xtable } from "./chains.ts";
import { NOTHING, type Removal, removalOf } from "./removal.ts";

/** `iptables' table nat (legacy)` */
export function legacyTable(tables: LegacyTables, table: string): string {
  return `${tables.family === 4 ? "iptables" : "ip6tables"}' table ${table} (legacy)`;
}

/** Does it for one table that is in use. @throws SluiceError TOOL_FAILED */
export async function removeLegacy(tables: LegacyTables, table: Xtable): Promise<Removal> {
  const { chains, rules } = parseSaved(await tables.save(table));
  const rulesOf = (chain: string) => Promise.resolve(rules.get(chain) ?? []);
  const leftovers = await findLeftovers(table, chains, rulesOf);
  if (leftovers.chains.length === 0 && leftovers.jumps.length === 0 && leftovers.kept.length === 0)
    return NOTHING;
  await tables.restore(table, printRemoval(table, leftovers));
  return removalOf(legacyTable(tables, table), leftovers);
}
