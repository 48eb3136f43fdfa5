/**
 * Describes the capabilities of a backend on this node, as data. Callers check a capability, never
 * the backend's name. `mode` is for operators, who configure it and see it in the log, metrics and
 * admin API.
 */
import type { ErrorCode } from "../base/errors.ts";
import type { Family } from "../net/address.ts";

/** A proxy mode, by its upstream name. */
export type Mode = "nftables" | "iptables";

/**
 * The form of a proxy's rules in the kernel. "iptables" are rules of iptables-nft, in tables of
 * nf_tables. "iptables-legacy" are rules in tables of x_tables.
 */
export type RuleFormat = "nftables" | "iptables" | "iptables-legacy";

/** Distinguishes a backend's own rules from rules of other proxies and other modes. */
export interface OwnRules {
  readonly form: RuleFormat;
  /**
   * The chains have kube-proxy's names. A kube-proxy with the same form writes the same chains, so
   * the two must not run together. The backend replaces the contents of such chains, also if
   * kube-proxy wrote them.
   */
  readonly sharesKubeProxyChains: boolean;
}

/** A family for which this node cannot have rules. */
export interface UnservedFamily {
  readonly family: Family;
  readonly code: ErrorCode;
  /** For the operator: `ip6tables-nft or ip6tables for nf_tables is not installed` */
  readonly reason: string;
}

/** Constant after `Backend.probe`. */
export interface Capabilities {
  readonly ownRules: OwnRules;
  readonly unserved: readonly UnservedFamily[];
  /**
   * Features of the served families that do not work on this node, a sentence each, for the
   * operator.
   */
  readonly unsupported: readonly string[];
  /**
   * The maximum number of operations in one `apply`, of any kind; may be Infinity. A netlink
   * transaction is one datagram. net.core.wmem_max limits its size for a process without
   * CAP_NET_ADMIN in the initial user namespace.
   */
  readonly maxOperations: number;
  /**
   * One `apply` takes about the same time whatever it contains, so a sync puts everything into one.
   * Otherwise, a sync is split into bounded transactions, and other work runs between two of them.
   */
  readonly singleTransaction: boolean;
  /** Longest rest after a sync, in ms. The rest is as long as the sync, up to this limit. */
  readonly syncCooldownMsMax: number;
  /** The rules accept connections to healthCheckNodePorts that the node's firewall would drop. */
  readonly opensHealthCheckPorts: boolean;
  /**
   * Maps in the kernel remember the clients of session affinity, by the numbers of their endpoints.
   * Otherwise the kernel has lists of its own.
   */
  readonly affinityMaps: boolean;
  /** Node ports can answer on IPv4 loopback addresses, if the node routes them (route_localnet). */
  readonly localhostNodePorts: boolean;
}

export function servedFamilies({ unserved }: Pick<Capabilities, "unserved">): readonly Family[] {
  return ([4, 6] as const).filter((family) => !unserved.some((each) => each.family === family));
}
