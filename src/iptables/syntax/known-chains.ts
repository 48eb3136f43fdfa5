/**
 * Names the tables and chains of iptables: kube-proxy's, which our iptables mode uses too, and a
 * few of our own. They are the same in nf_tables and in legacy tables. Pure.
 *
 * The list of kube-proxy's chains is from CleanupLeftovers in kubernetes
 * pkg/proxy/iptables/cleanup.go (v1.36). Other programs own the other chains that begin with KUBE-,
 * so these stay:
 *
 * - the kubelet (pkg/kubelet/kubelet_network_linux.go): KUBE-FIREWALL, KUBE-IPTABLES-HINT,
 *   KUBE-KUBELET-CANARY, formerly KUBE-MARK-DROP
 * - kube-router: KUBE-ROUTER-*, KUBE-NWPLCY-*, KUBE-POD-FW-*
 */

/**
 * The kernel interface of a set of tools: x_tables through setsockopt, nf_tables through netlink.
 */
export type Variant = "legacy" | "nft";

/** The tables in which kube-proxy has chains, in the order of cleaning. */
export const IPTABLES_TABLES = ["nat", "filter", "mangle"] as const;
export type IptablesTable = (typeof IPTABLES_TABLES)[number];

/** Reports whether it is one of these tables. */
export function isXtable(table: string): table is IptablesTable {
  return (IPTABLES_TABLES as readonly string[]).includes(table);
}

/** The tables that hold rules of Services. mangle has only the canary. */
export type RuleTable = Exclude<IptablesTable, "mangle">;
export const RULE_TABLES: readonly RuleTable[] = ["nat", "filter"];

/** A value for each table that holds rules. */
export type PerTable<Value> = { readonly [table in RuleTable]: Value };

export function perTable<Value>(make: (table: RuleTable) => Value): PerTable<Value> {
  const [nat, filter] = RULE_TABLES.map(make) as [Value, Value];
  return { nat, filter };
}

/** ForeignChange.by for a change of our chains that only a kube-proxy makes. */
export const KUBE_PROXY = "kube-proxy";

export const SERVICES = "KUBE-SERVICES";
export const NODE_PORTS = "KUBE-NODEPORTS";
export const POSTROUTING = "KUBE-POSTROUTING";
export const MARK_MASQ = "KUBE-MARK-MASQ";
export const EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES";
export const PROXY_FIREWALL = "KUBE-PROXY-FIREWALL";
export const FORWARD = "KUBE-FORWARD";
/** An empty chain in each table. If it is missing, the table was flushed (kubeProxyCanaryChain). */
export const CANARY = "KUBE-PROXY-CANARY";
/**
 * In the table filter: drops packets from other hosts to loopback addresses, on which node ports
 * may answer. The kubelet creates the same chain, so kube-proxy never deletes it. Sluice deletes it
 * only in `--cleanup`, if no kubelet uses it.
 */
export const FIREWALL = "KUBE-FIREWALL";
/** Sluice's own: sets the masquerade mark for connections that do not come from local pods. */
export const OUTSIDE = "KUBE-SVC-OUTSIDE";
/** Sluice's own: connections of a pod to itself. */
export const HAIRPIN = "KUBE-SEP-HAIRPIN";

/** Chains with a fixed name. */
const FIXED_CHAINS: { readonly [table in IptablesTable]: readonly string[] } = {
  nat: [SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQ, CANARY],
  filter: [SERVICES, EXTERNAL_SERVICES, FORWARD, NODE_PORTS, PROXY_FIREWALL, CANARY],
  mangle: [CANARY],
};

/**
 * Chains that prove that a kube-proxy ran here. KUBE-MARK-MASQ and KUBE-POSTROUTING do not, because
 * a kubelet before 1.27 creates them at every start.
 */
export const KUBE_PROXY_MARKER_CHAINS: { readonly [table in IptablesTable]: readonly string[] } = {
  nat: [SERVICES, NODE_PORTS, CANARY],
  filter: FIXED_CHAINS.filter,
  mangle: FIXED_CHAINS.mangle,
};

/** In the table nat: isServiceChainName in pkg/proxy/iptables/proxier.go; KUBE-XLB- until 1.24. */
const SERVICE_CHAIN = /^KUBE-(SVC|SVL|SEP|FW|EXT|XLB)-/;

/**
 * Chains of the table nat that Sluice creates and kube-proxy does not. Their prefix makes
 * kube-proxy take them for chains of a deleted Service, so it deletes them when it takes over from
 * Sluice.
 */
const SLUICE_CHAINS = [OUTSIDE, HAIRPIN] as const;

/** Reports whether Sluice, not kube-proxy, made the chains of the table nat. */
export function areSluiceChains(has: (chain: string) => boolean): boolean {
  return SLUICE_CHAINS.some((chain) => has(chain));
}

/**
 * Reports whether a chain is of kube-proxy's kinds. In iptables mode, Sluice owns these: it decides
 * whether each exists and which rules it has.
 */
export function isKubeProxyChain(table: IptablesTable, name: string): boolean {
  if (FIXED_CHAINS[table].includes(name)) return true;
  return table === "nat" && SERVICE_CHAIN.test(name);
}

/**
 * Reports whether other programs may have rules in this chain. If so, Sluice only adds rules to it
 * and never empties or deletes it.
 */
export function isShared(table: RuleTable, chain: string): boolean {
  return table === "filter" && chain === FIREWALL;
}

/**
 * Reports whether a kube-proxy has overwritten our chains. `nat`: the text of each chain.
 * kube-proxy deletes KUBE-SEP-HAIRPIN in the restore that fills KUBE-POSTROUTING. A flush leaves
 * KUBE-POSTROUTING empty.
 */
export function isOverwrittenByKubeProxy(nat: ReadonlyMap<string, string | undefined>): boolean {
  return !nat.has(HAIRPIN) && (nat.get(POSTROUTING) ?? "") !== "";
}
