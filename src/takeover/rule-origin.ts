/**
 * Names the authors and forms of Service rules in the kernel, and finds out which of them are
 * leftovers. Pure.
 *
 * Two sets of rules can coexist, for example during a mode switch or a takeover from kube-proxy.
 * Each hook then works as with one set:
 *
 * - nat PREROUTING and OUTPUT: the kernel evaluates one set after the other, the youngest first,
 *   until one decides the translation (nf_nat_inet_fn in net/netfilter/nf_nat_core.c). Both choose
 *   among the same endpoints. A set without the frontend decides nothing, with one exception:
 *   nftables mode refuses connections in these hooks. Such a table refuses a Service that is newer
 *   than its last sync. This ends when the table is removed, moments after the first sync of its
 *   successor.
 * - Masquerade mark: both set the same bit (iptables.masqueradeBit and nftables.masqueradeBit have
 *   the same default). Each sets it before it translates the packet, and otherwise clears it again
 *   (KUBE-SVC-OUTSIDE). Packets that neither translates keep no mark.
 * - nat POSTROUTING: again, the first set that decides wins. Each masquerades marked packets,
 *   whichever set marked them, and packets from an endpoint to itself, by their addresses. Only the
 *   set that masquerades clears the mark. The rules that marked a packet may therefore be gone when
 *   it leaves.
 * - nat INPUT: here and in POSTROUTING, nftables mode learns the endpoint of a client with affinity
 *   from the connection itself, whichever set translated it. iptables mode remembers it at
 *   translation. Neither knows the other's entries, so a client may change its endpoint once.
 * - filter: rules of the iptables mode see packets after translation by either set. They refuse
 *   only frontends that neither set translated, and accept by mark and connection state. A packet
 *   must pass both variants of iptables, which refuse the same packets.
 * - Open connections meet only filter, where their state accepts them. They keep their translation.
 */
import type { OwnRules, RuleFormat } from "../backend/capabilities.ts";

/**
 * The author of rules and their form: kube-proxy, or Sluice in another mode than the current one.
 */
export type RuleOrigin = RuleFormat | `sluice-${RuleFormat}`;

const FORMS: readonly RuleFormat[] = ["nftables", "iptables", "iptables-legacy"];

export const ALL_ORIGINS: readonly RuleOrigin[] = [
  ...FORMS.map((form) => `sluice-${form}` as const),
  ...FORMS,
];
export const SLUICE_ORIGINS: readonly RuleOrigin[] = ALL_ORIGINS.filter(isOwnOrigin);

/**
 * The table of kube-proxy's nftables mode, in both families: kubernetes
 * pkg/proxy/nftables/proxier.go.
 */
export const KUBE_PROXY_TABLE = "kube-proxy";

export type RuleOwner = "kube-proxy" | "Sluice";

export function originOf(owner: RuleOwner, form: RuleFormat): RuleOrigin {
  return owner === "Sluice" ? `sluice-${form}` : form;
}

export function isOwnOrigin(origin: RuleOrigin): boolean {
  return origin.startsWith("sluice-");
}

export const ORIGIN_NAMES: { readonly [origin in RuleOrigin]: string } = {
  nftables: "kube-proxy's rules (nftables mode)",
  iptables: "kube-proxy's rules (iptables mode)",
  "iptables-legacy": "kube-proxy's rules (iptables mode, legacy)",
  "sluice-nftables": "Sluice's rules (nftables mode)",
  "sluice-iptables": "Sluice's rules (iptables mode)",
  "sluice-iptables-legacy": "Sluice's rules (iptables mode, legacy)",
};

/**
 * Reports whether rules of this origin are separate from our own. If our chains have kube-proxy's
 * names, the backend handles their contents, also if kube-proxy wrote them. `own` is undefined if
 * there are no own rules, as in a cleanup.
 */
export function differsFromOwn(origin: RuleOrigin, own: OwnRules | undefined): boolean {
  if (own === undefined) return true;
  if (origin === originOf("Sluice", own.form)) return false;
  return !(own.sharesKubeProxyChains && origin === own.form);
}
