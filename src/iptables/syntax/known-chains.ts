/**
 * Tables and chains of iptables: kube-proxy's names, which our iptables mode uses too, and those
 * that only we have. The same for nf_tables and legacy tables. Pure.
 *
 * kube-proxy's are those of CleanupLeftovers in kubernetes pkg/proxy/iptables/cleanup.go (v1.36).
 * All other chains that begin with KUBE- stay: those of the kubelet
 * (pkg/kubelet/kubelet_network_linux.go: KUBE-FIREWALL, KUBE-IPTABLES-HINT, KUBE-KUBELET-CANARY,
 * formerly KUBE-MARK-DROP), and those of kube-router (KUBE-ROUTER-*, KUBE-NWPLCY-*, KUBE-POD-FW-*).
 */

/**
 * Which kernel interface a set of tools writes to: x_tables by setsockopt, or nf_tables by netlink.
 */
export type Variant = "legacy" | "nft";

/** Tables of iptables in which kube-proxy has chains, in the order in which they are cleaned. */
export const XTABLES = ["nat", "filter", "mangle"] as const;
export type Xtable = (typeof XTABLES)[number];

/** Is it one of these tables? */
export function isXtable(table: string): table is Xtable {
  return (XTABLES as readonly string[]).includes(table);
}

/** The tables that hold rules of Services; mangle has the canary only. */
export type RuleTable = Exclude<Xtable, "mangle">;
export const RULE_TABLES: readonly RuleTable[] = ["nat", "filter"];

/** A value for each table that holds rules. */
export type PerTable<Value> = { readonly [table in RuleTable]: Value };

export function perTable<Value>(make: (table: RuleTable) => Value): PerTable<Value> {
  const [nat, filter] = RULE_TABLES.map(make) as [Value, Value];
  return { nat, filter };
}

/** ForeignChange.by, of a change of our own chains that nobody else makes. */
export const KUBE_PROXY = "kube-proxy";

export const SERVICES = "KUBE-SERVICES";
export const NODE_PORTS = "KUBE-NODEPORTS";
export const POSTROUTING = "KUBE-POSTROUTING";
export const MARK_MASQ = "KUBE-MARK-MASQ";
export const EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES";
export const PROXY_FIREWALL = "KUBE-PROXY-FIREWALL";
export const FORWARD = "KUBE-FORWARD";
/**
 * An empty chain in each table, by whose absence a flush is known (upstream: kubeProxyCanaryChain).
 */
export const CANARY = "KUBE-PROXY-CANARY";
/**
 * In the filter table: keeps packets from elsewhere away from loopback addresses, where node ports
 * may answer on them. The kubelet makes the very same, so upstream never deletes it.
 */
export const FIREWALL = "KUBE-FIREWALL";
/**
 * Not upstream's: what connections to Services from outside pass, those that are to be masqueraded.
 */
export const OUTSIDE = "KUBE-SVC-OUTSIDE";
/** Not upstream's: connections of a pod to itself. */
export const HAIRPIN = "KUBE-SEP-HAIRPIN";

/** Chains with a fixed name. */
const FIXED_CHAINS: { readonly [table in Xtable]: readonly string[] } = {
  nat: [SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQ, CANARY],
  filter: [SERVICES, EXTERNAL_SERVICES, FORWARD, NODE_PORTS, PROXY_FIREWALL, CANARY],
  mangle: [CANARY],
};

/**
 * Chains that tell that kube-proxy was here: KUBE-MARK-MASQ and KUBE-POSTROUTING are also made by a
 * kubelet before 1.27, whenever it starts.
 */
export const MARKERS: { readonly [table in Xtable]: readonly string[] } = {
  nat: [SERVICES, NODE_PORTS, CANARY],
  filter: FIXED_CHAINS.filter,
  mangle: FIXED_CHAINS.mangle,
};

/**
 * isServiceChainName in pkg/proxy/iptables/proxier.go; KUBE-XLB- until 1.24. They are in the nat
 * table only.
 */
const SERVICE_CHAIN = /^KUBE-(SVC|SVL|SEP|FW|EXT|XLB)-/;

/**
 * Chains of the nat table that Sluice makes in iptables mode and kube-proxy never does, which
 * deletes them when it takes the others over: they are no chains of a Service that it knows.
 */
const SLUICE_CHAINS = [OUTSIDE, HAIRPIN] as const;

/**
 * Do chains with these names, in the nat table, come from this program rather than from kube-proxy?
 */
export function areFromSluice(has: (chain: string) => boolean): boolean {
  return SLUICE_CHAINS.some((chain) => has(chain));
}

/**
 * Is it a chain of kube-proxy's kinds? In iptables mode these are ours: we decide whether each
 * exists and what is in it.
 */
export function isKubeProxyChain(table: Xtable, name: string): boolean {
  if (FIXED_CHAINS[table].includes(name)) return true;
  return table === "nat" && SERVICE_CHAIN.test(name);
}

/**
 * May others have rules in this chain of ours? Then we only add rules to it, and never empty or
 * delete it.
 */
export function isShared(table: RuleTable, chain: string): boolean {
  return table === "filter" && chain === FIREWALL;
}

/**
 * Did a kube-proxy write chains that were ours? `nat` has its chains' rules. It takes
 * KUBE-SEP-HAIRPIN away in the restore that fills KUBE-POSTROUTING; whoever flushes or deletes
 * leaves that one empty.
 */
export function isOverwritten(nat: ReadonlyMap<string, string | undefined>): boolean {
  return !nat.has(HAIRPIN) && (nat.get(POSTROUTING) ?? "") !== "";
}
