/**
 * Which chains and rules of iptables are kube-proxy's, and which of them can go. The same for nf_tables and
 * legacy tables, and for what Sluice's iptables mode makes, which bears the same names. Pure.
 */

import type { Removable, XtChain, XtRule } from "../iptables/syntax/iptables-save.ts";
import { isJump, printGuard } from "../iptables/syntax/jumps.ts";
import {
  areFromSluice,
  FIREWALL,
  FORWARD,
  isKubeProxyChain,
  NODE_PORTS,
  type Xtable,
} from "../iptables/syntax/known-chains.ts";
import type { Maker } from "./rule-origin.ts";

/** Whose the chains of all tables of one family and variant are, by those of its nat table. */
export function makerOf(has: (chain: string) => boolean): Maker {
  return areFromSluice(has) ? "Sluice" : "kube-proxy";
}

/** By this chain, in each table, a kubelet knows that its rules are there. */
const KUBELET = "KUBE-KUBELET-CANARY";
/** The one rule in it: setupLocalhostFirewall in pkg/proxy/iptables/proxier.go. */
const FIREWALL_COMMENT = "block incoming localnet connections";

/** A chain of the filter table that accepts what the policy of a built-in one may drop. */
export interface Acceptor {
  /** The built-in chain, which leads there. */
  readonly from: "FORWARD" | "INPUT";
  readonly chain: string;
  readonly accepts: string;
}

export const ACCEPTORS: readonly Acceptor[] = [
  { from: "FORWARD", chain: FORWARD, accepts: "forwarded packets of Services" },
  { from: "INPUT", chain: NODE_PORTS, accepts: "its healthCheckNodePorts" },
];

export interface Leftovers<Id> extends Removable<Id> {
  /** Chains of kube-proxy that rules of somebody else lead to, and what those chains lead to. */
  readonly kept: readonly string[];
  /** Those that a policy makes necessary, and that go nevertheless. */
  readonly missed: readonly Acceptor[];
}

/** What else there is to know of a table. */
export interface Besides {
  /** Acceptors without which a policy would drop; `keepNeeded` lets them stay. */
  readonly needed?: readonly Acceptor[];
  readonly keepNeeded?: boolean;
  /** FIREWALL, where that can go too. */
  readonly firewall?: string | undefined;
}

/**
 * What of a table can go. `rulesOf` is asked for the rules of chains that stay only: kube-proxy's own may have
 * very many.
 */
export async function findLeftovers<Id>(
  table: Xtable,
  chains: readonly XtChain[],
  rulesOf: (chain: string) => Promise<readonly XtRule<Id>[]>,
  { needed = [], keepNeeded = false, firewall }: Besides = {},
): Promise<Leftovers<Id>> {
  const own = new Set<string>();
  for (const { name } of chains) {
    if (isKubeProxyChain(table, name) || name === firewall) own.add(name);
  }
  if (own.size === 0) return { jumps: [], chains: [], kept: [], missed: [] };
  const jumps: { chain: string; id: Id }[] = [];
  const stay = new Set(keepNeeded ? needed.map(({ chain }) => chain) : []);
  const kept = new Set<string>();
  const keep = (target: string | undefined) => {
    if (target !== undefined && own.has(target)) kept.add(target);
  };
  for (const { name, base } of chains) {
    if (own.has(name)) continue;
    for (const rule of await rulesOf(name)) {
      const { id, target } = rule;
      if (target === undefined || !own.has(target)) continue;
      const jump = target === firewall ? rule.text === `-j ${target}` : isJump(table, name, rule);
      if (!base || !jump) keep(target);
      else if (!stay.has(target)) jumps.push({ chain: name, id });
    }
  }
  // A set is walked on to what is added meanwhile.
  for (const name of kept) {
    for (const { target } of await rulesOf(name)) keep(target);
  }
  const gone = [...own].filter((name) => !kept.has(name) && !stay.has(name));
  const missed = needed.filter(({ chain }) => gone.includes(chain));
  return { jumps, chains: gone, kept: [...kept], missed };
}

/**
 * What is to become of FIREWALL in a filter table of which all chains are known: it is nobody's but a proxy's where no
 * kubelet is, and nothing else is in it. "guards" is one with its rule.
 */
export async function firewallIn(
  chains: readonly XtChain[],
  rulesOf: (chain: string) => Promise<readonly XtRule<unknown>[]>,
): Promise<"guards" | "empty" | undefined> {
  const has = (chain: string) => chains.some(({ name }) => name === chain);
  if (!has(FIREWALL) || has(KUBELET)) return undefined;
  const [rule, ...more] = await rulesOf(FIREWALL);
  if (rule === undefined) return "empty";
  const guards = rule.comment === FIREWALL_COMMENT || rule.text === printGuard();
  return more.length === 0 && guards ? "guards" : undefined;
}
