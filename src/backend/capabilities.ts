/**
 * What a backend can do on this node, as data. Callers ask for a capability, never for the
 * backend's name. `mode` is for operators: they configure it, and see it in the log, metrics and
 * admin API.
 */
import type { ErrorCode } from "../base/errors.ts";
import type { Family } from "../net/address.ts";

/** A proxy mode by upstream's name. */
export type Mode = "nftables" | "iptables";

/**
 * A form in which a proxy's rules can be in the kernel. "iptables" are rules of iptables-nft, in
 * tables of nf_tables; "iptables-legacy" are rules in tables of x_tables.
 */
export type RuleForm = "nftables" | "iptables" | "iptables-legacy";

/** How to recognize a backend's own rules among those of other proxies and other modes. */
export interface OwnRules {
  readonly form: RuleForm;
  /**
   * The chains have kube-proxy's names. A kube-proxy that uses the same form writes the very same
   * chains, so the two must not run together, and whatever such chains hold is for the backend to
   * replace.
   */
  readonly sharesKubeProxyChains: boolean;
}

/** A family for which this node cannot make rules. */
export interface UnservedFamily {
  readonly family: Family;
  readonly code: ErrorCode;
  /** For the operator: `ip6tables-nft or ip6tables for nf_tables is not installed` */
  readonly reason: string;
}

/** Constant from `Backend.probe` on. */
export interface Capabilities {
  readonly ownRules: OwnRules;
  readonly unserved: readonly UnservedFamily[];
  /**
   * Features of the served families that do not work on this node: a sentence each, for the
   * operator.
   */
  readonly unsupported: readonly string[];
  /**
   * Most operations that one `apply` takes, whatever they are; may be Infinity. A netlink
   * transaction is one datagram, and net.core.wmem_max limits its size for a process without
   * CAP_NET_ADMIN in the first user namespace.
   */
  readonly maxOperations: number;
  /**
   * One `apply` takes about the same time whatever it contains, so a sync puts everything into one.
   * Without this, a sync is cut into bounded transactions, and other work runs between two of them.
   */
  readonly singleTransaction: boolean;
  /** Longest rest after a sync, in ms. The rest is as long as the sync took, up to this. */
  readonly syncRestMsMax: number;
  /** The rules accept connections to healthCheckNodePorts that the node's firewall would drop. */
  readonly opensHealthCheckPorts: boolean;
  /** Node ports can answer on IPv4 loopback addresses, if the node routes them (route_localnet). */
  readonly localhostNodePorts: boolean;
}

export function servedFamilies({ unserved }: Pick<Capabilities, "unserved">): readonly Family[] {
  return ([4, 6] as const).filter((family) => !unserved.some((each) => each.family === family));
}
