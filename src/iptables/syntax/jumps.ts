/**
 * Defines the rules of built-in chains that lead to kube-proxy's chains, as kube-proxy and our
 * iptables mode write them. Pure.
 */
import {
  EXTERNAL_SERVICES,
  FORWARD,
  type IptablesTable,
  isKubeProxyChain,
  NODE_PORTS,
  POSTROUTING,
  PROXY_FIREWALL,
  type RuleTable,
  SERVICES,
} from "./known-chains.ts";

/** A rule of a built-in chain that leads to one of our chains. */
export interface Jump {
  readonly table: RuleTable;
  /** PREROUTING, INPUT, FORWARD, OUTPUT or POSTROUTING. */
  readonly from: string;
  /** The rule in the format of iptables-save, without `-A FROM `. */
  readonly rule: string;
}

export const LOOPBACK_MATCH = "127.0.0.0/8";

/** The match for new connections. */
export const NEW_MATCH = "-m conntrack --ctstate NEW";

export interface JumpRule {
  readonly table: RuleTable;
  readonly to: string;
  readonly from: string;
  readonly comment: string;
  /** `NEW`, or "" for every packet. */
  readonly match: string;
}

/** iptablesJumpChains of pkg/proxy/iptables/proxier.go. */
export const JUMPS: readonly JumpRule[] = (
  [
    [
      "filter",
      EXTERNAL_SERVICES,
      "INPUT",
      "kubernetes externally-visible service portals",
      NEW_MATCH,
    ],
    [
      "filter",
      EXTERNAL_SERVICES,
      "FORWARD",
      "kubernetes externally-visible service portals",
      NEW_MATCH,
    ],
    ["filter", NODE_PORTS, "INPUT", "kubernetes health check service ports", ""],
    ["filter", SERVICES, "FORWARD", "kubernetes service portals", NEW_MATCH],
    ["filter", SERVICES, "OUTPUT", "kubernetes service portals", NEW_MATCH],
    ["filter", FORWARD, "FORWARD", "kubernetes forwarding rules", ""],
    ["filter", PROXY_FIREWALL, "INPUT", "kubernetes load balancer firewall", NEW_MATCH],
    ["filter", PROXY_FIREWALL, "OUTPUT", "kubernetes load balancer firewall", NEW_MATCH],
    ["filter", PROXY_FIREWALL, "FORWARD", "kubernetes load balancer firewall", NEW_MATCH],
    ["nat", SERVICES, "OUTPUT", "kubernetes service portals", ""],
    ["nat", SERVICES, "PREROUTING", "kubernetes service portals", ""],
    ["nat", POSTROUTING, "POSTROUTING", "kubernetes postrouting rules", ""],
  ] as const
).map(([table, to, from, comment, match]) => ({ table, to, from, comment, match }));

/**
 * The rule in the format of iptables-save, without `-A CHAIN `. `says`: the match of its comment,
 * if it has one.
 */
export function printJump({ match, to }: Pick<JumpRule, "match" | "to">, says = ""): string {
  return [match, says, `-j ${to}`].filter((words) => words !== "").join(" ");
}

/**
 * The rule in KUBE-FIREWALL: setupLocalhostFirewall in pkg/proxy/iptables/proxier.go. `says` is the
 * same as in `printJump`.
 */
export function printGuard(says = ""): string {
  const addresses = `! -s ${LOOPBACK_MATCH} -d ${LOOPBACK_MATCH}`;
  const state = "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT";
  return [addresses, says, state, "-j DROP"].filter((words) => words !== "").join(" ");
}

/** If the kernel has no xt_comment, jumps are recognized by their whole text. */
const WITHOUT_COMMENT: ReadonlySet<string> = new Set(
  JUMPS.map((jump) => key(jump.table, jump.from, printJump(jump))),
);

/** The prefix of all comments in iptablesJumpChains, in all versions. */
const COMMENT = "kubernetes ";

/** The parts of a rule that identify a jump. */
export interface JumpParts {
  readonly target: string | undefined;
  readonly comment: string | undefined;
  /**
   * The rule in the format of iptables-save, without `-A CHAIN `. Undefined if it cannot be one of
   * ours without a comment.
   */
  readonly text: string | undefined;
}

/**
 * Reports whether a rule of a built-in chain is a jump to one of our chains, made by Sluice or by
 * any version of kube-proxy.
 */
export function isJump(
  table: IptablesTable,
  from: string,
  { target, comment, text }: JumpParts,
): boolean {
  if (target === undefined || !isKubeProxyChain(table, target)) return false;
  if (comment?.startsWith(COMMENT)) return true;
  return text !== undefined && WITHOUT_COMMENT.has(key(table, from, text));
}

/** `isJump` for the text of a rule in the format of iptables-save, without `-A CHAIN `. */
export function isOwnJump(table: IptablesTable, from: string, text: string): boolean {
  const target = / -j (\S+)$/.exec(` ${text}`)?.[1];
  const comment = /--comment "(kubernetes [^"]*)"/.exec(text)?.[1];
  return isJump(table, from, { target, comment, text });
}

function key(table: IptablesTable, from: string, text: string): string {
  return `${table} ${from} ${text}`;
}
