/**
 * Which chains and rules of iptables are kube-proxy's, and which of them may be removed. It is the
 * same for nf_tables and legacy tables, and for chains of Sluice's iptables mode, which have the
 * same names. Pure.
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
import type { RuleOwner } from "./rule-origin.ts";

/**
 * Who made the chains of one family and variant, in all tables: the chains of its nat table tell.
 */
export function ownerOfChains(has: (chain: string) => boolean): RuleOwner {
  return areFromSluice(has) ? "Sluice" : "kube-proxy";
}

/** A kubelet keeps this chain in each table to notice that its rules are gone. */
const KUBELET = "KUBE-KUBELET-CANARY";
/** The one rule in it: setupLocalhostFirewall in pkg/proxy/iptables/proxier.go. */
const FIREWALL_COMMENT = "block incoming localnet connections";

/**
 * A chain of the filter table that accepts packets that the policy of a built-in chain may drop.
 */
export interface AcceptChain {
  /** The built-in chain that jumps to it. */
  readonly from: "FORWARD" | "INPUT";
  readonly chain: string;
  readonly accepts: string;
}

export const ACCEPT_CHAINS: readonly AcceptChain[] = [
  { from: "FORWARD", chain: FORWARD, accepts: "forwarded packets of Services" },
  { from: "INPUT", chain: NODE_PORTS, accepts: "its healthCheckNodePorts" },
];

export interface Leftovers<Id> extends Removable<Id> {
  /**
   * Chains of kube-proxy that must stay: foreign rules jump to them, directly or through each
   * other.
   */
  readonly kept: readonly string[];
  /** Accept chains that a policy makes necessary, and that go nevertheless. */
  readonly missed: readonly AcceptChain[];
}

/** What else decides, in a filter table. */
export interface LeftoverOptions {
  /** Accept chains that a policy makes necessary. `keepNeeded` keeps them. */
  readonly needed?: readonly AcceptChain[];
  readonly keepNeeded?: boolean;
  /** FIREWALL, where that may go too. */
  readonly firewall?: string | undefined;
}

/**
 * What may be removed from a table. `rulesOf` is called only for chains that stay: kube-proxy's own
 * may have very many rules.
 */
export async function findLeftovers<Id>(
  table: Xtable,
  chains: readonly XtChain[],
  rulesOf: (chain: string) => Promise<readonly XtRule<Id>[]>,
  { needed = [], keepNeeded = false, firewall }: LeftoverOptions = {},
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
  // Iterating a set also visits what is added meanwhile.
  for (const name of kept) {
    for (const { target } of await rulesOf(name)) keep(target);
  }
  const gone = [...own].filter((name) => !kept.has(name) && !stay.has(name));
  const missed = needed.filter(({ chain }) => gone.includes(chain));
  return { jumps, chains: gone, kept: [...kept], missed };
}

/**
 * Whether FIREWALL in a filter table may go, given all chains of the table. Undefined: it must
 * stay, since a kubelet uses it or somebody else has rules in it. "guards": it has kube-proxy's
 * rule and nothing else.
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
