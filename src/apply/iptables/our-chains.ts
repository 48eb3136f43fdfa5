/** Which chains are ours to write and to delete. Names only; pure. */
import { FIREWALL, isKubeProxyChain, SLUICE_CHAINS, type Xtable } from "../kube-proxy/chains.ts";
import { RULE_TABLES, type RuleTable } from "./types.ts";

/** An empty chain in each table, by whose absence a flush is known (upstream: kubeProxyCanaryChain). */
export const CANARY = "KUBE-PROXY-CANARY";

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

/** Do chains with these names, in the nat table, come from this program rather than from kube-proxy? */
export function areFromSluice(chains: { has(chain: string): boolean }): boolean {
  return SLUICE_CHAINS.some((chain) => chains.has(chain));
}

/** A rule of a built-in chain that kube-proxy, of whatever version, or we made to lead to a chain of ours. */
export function isJumpOfOurs(table: Xtable, rule: string): boolean {
  const target = /--comment "kubernetes [^"]*".* -j (\S+)$/.exec(rule)?.[1];
  return target !== undefined && isOurs(table, target);
}
