/** Which chains are ours to write and to delete. Names only; pure. */
import { isJump } from "./jumps.ts";
import {
  FIREWALL,
  isKubeProxyChain,
  RULE_TABLES,
  type RuleTable,
  type Xtable,
} from "./known-chains.ts";

/** For each table that holds rules. */
export type PerTable<Value> = { readonly [table in RuleTable]: Value };

/** One of these for each table that holds rules. */
export function perTable<Value>(make: (table: RuleTable) => Value): PerTable<Value> {
  const [nat, filter] = RULE_TABLES.map(make) as [Value, Value];
  return { nat, filter };
}

/** Rules of others may be in it: ours are added to them, and the chain is never emptied or deleted. */
export function isShared(table: RuleTable, chain: string): boolean {
  return table === "filter" && chain === FIREWALL;
}

/** What is in it, and whether it is there, is for us to say: a chain of kube-proxy's kinds. */
export function isOurs(table: Xtable, chain: string): boolean {
  return isKubeProxyChain(table, chain);
}

/** Is this rule of a built-in chain one that kube-proxy, of whatever version, or we made to lead to a chain of ours? */
export function isJumpOfOurs(table: Xtable, from: string, text: string): boolean {
  const target = / -j (\S+)$/.exec(` ${text}`)?.[1];
  const comment = /--comment "(kubernetes [^"]*)"/.exec(text)?.[1];
  return isJump(table, from, { target, comment, text });
}
