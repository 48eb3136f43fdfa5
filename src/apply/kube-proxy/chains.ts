/**
 * Which chains and rules of iptables are kube-proxy's, and which of them can go. The same for nf_tables and
 * legacy tables, and for what Sluice's iptables mode makes, which bears the same names. Pure.
 *
 * The names are those of CleanupLeftovers in kubernetes pkg/proxy/iptables/cleanup.go (v1.36). All other chains
 * that begin with KUBE- stay: those of the kubelet (pkg/kubelet/kubelet_network_linux.go: KUBE-FIREWALL,
 * KUBE-IPTABLES-HINT, KUBE-KUBELET-CANARY, formerly KUBE-MARK-DROP), and those of kube-router (KUBE-ROUTER-*,
 * KUBE-NWPLCY-*, KUBE-POD-FW-*).
 */

import type { Maker } from "./kinds.ts";

/** Tables of iptables in which kube-proxy has chains, in the order in which they are cleaned. */
export const XTABLES = ["nat", "filter", "mangle"] as const;
export type Xtable = (typeof XTABLES)[number];

/** Chains with a fixed name. */
const FIXED_CHAINS: { readonly [table in Xtable]: readonly string[] } = {
  nat: [
    "KUBE-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-POSTROUTING",
    "KUBE-MARK-MASQ",
    "KUBE-PROXY-CANARY",
  ],
  filter: [
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-FORWARD",
    "KUBE-NODEPORTS",
    "KUBE-PROXY-FIREWALL",
    "KUBE-PROXY-CANARY",
  ],
  mangle: ["KUBE-PROXY-CANARY"],
};

/**
 * Chains that tell that kube-proxy was here: KUBE-MARK-MASQ and KUBE-POSTROUTING are also made by a kubelet
 * before 1.27, whenever it starts.
 */
export const MARKERS: { readonly [table in Xtable]: readonly string[] } = {
  nat: ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-CANARY"],
  filter: FIXED_CHAINS.filter,
  mangle: FIXED_CHAINS.mangle,
};

/** isServiceChainName in pkg/proxy/iptables/proxier.go; KUBE-XLB- until 1.24. They are in the nat table only. */
const SERVICE_CHAIN = /^KUBE-(SVC|SVL|SEP|FW|EXT|XLB)-/;

/** All comments of iptablesJumpChains in pkg/proxy/iptables/proxier.go begin so, in all versions. */
const JUMP_COMMENT = "kubernetes ";

/**
 * Chains of the nat table that Sluice makes in iptables mode and kube-proxy never does, which deletes them when it takes the
 * others over: they are no chains of a Service that it knows.
 */
export const SLUICE_CHAINS = ["KUBE-SVC-OUTSIDE", "KUBE-SEP-HAIRPIN"] as const;

/** Whose the chains of all tables of one family and variant are, by those of its nat table. */
export async function makerOf(has: (chain: string) => boolean | Promise<boolean>): Promise<Maker> {
  for (const chain of SLUICE_CHAINS) if (await has(chain)) return "Sluice";
  return "kube-proxy";
}

/**
 * Did a kube-proxy write chains that were ours? `nat` has its chains' rules. It takes KUBE-SEP-HAIRPIN away in the restore
 * that fills KUBE-POSTROUTING; whoever flushes or deletes leaves that one empty.
 */
export function isOverwritten(nat: ReadonlyMap<string, string | undefined>): boolean {
  return !nat.has("KUBE-SEP-HAIRPIN") && (nat.get("KUBE-POSTROUTING") ?? "") !== "";
}

/**
 * In the filter table: keeps packets from elsewhere away from loopback addresses, where node ports may answer on them.
 * The kubelet makes the very same, so upstream never deletes it.
 */
export const FIREWALL = "KUBE-FIREWALL";
/** By this chain, in each table, a kubelet knows that its rules are there. */
const KUBELET = "KUBE-KUBELET-CANARY";
/** The one rule in it: setupLocalhostFirewall in pkg/proxy/iptables/proxier.go. */
const FIREWALL_COMMENT = "block incoming localnet connections";

export function isKubeProxyChain(table: Xtable, name: string): boolean {
  if (FIXED_CHAINS[table].includes(name)) return true;
  return table === "nat" && SERVICE_CHAIN.test(name);
}

/** A chain of the filter table that accepts what the policy of a built-in one may drop. */
export interface Acceptor {
  /** The built-in chain, which leads there. */
  readonly from: "FORWARD" | "INPUT";
  readonly chain: string;
  readonly accepts: string;
}

export const ACCEPTORS: readonly Acceptor[] = [
  { from: "FORWARD", chain: "KUBE-FORWARD", accepts: "forwarded packets of Services" },
  { from: "INPUT", chain: "KUBE-NODEPORTS", accepts: "its healthCheckNodePorts" },
];

export interface XtChain {
  readonly name: string;
  /** A built-in chain: PREROUTING and so on. */
  readonly base: boolean;
  /** Its policy is to drop; only of a built-in chain. */
  readonly drops: boolean;
}

/** A rule, with what it takes to delete it: its handle, or its text. */
export interface XtRule<Id> {
  readonly id: Id;
  /** Where it jumps or goes to; undefined if nowhere. */
  readonly target: string | undefined;
  readonly comment: string | undefined;
  /** The mark that a packet must bear; undefined if any will do. */
  readonly mark: number | undefined;
  /** Every packet is meant, and there is no comment. */
  readonly plain: boolean;
}

export interface Leftovers<Id> {
  /** Rules of built-in chains that lead to kube-proxy's. */
  readonly jumps: readonly { readonly chain: string; readonly id: Id }[];
  /** Chains that can be deleted, once the jumps are and the rules inside them. */
  readonly chains: readonly string[];
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
    for (const { id, target, comment, plain } of await rulesOf(name)) {
      if (target === undefined || !own.has(target)) continue;
      const jump = target === firewall ? plain : comment?.startsWith(JUMP_COMMENT);
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
  return more.length === 0 && rule.comment === FIREWALL_COMMENT ? "guards" : undefined;
}
