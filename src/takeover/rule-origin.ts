/**
 * Whose rules of Services can be in the kernel, and in which way; and which of them are left over
 * beside ours. Pure.
 *
 * While two are there, as when a mode is switched or a kube-proxy taken over, each hook works as
 * with one:
 *
 * - nat PREROUTING and OUTPUT: the kernel asks one set of rules after the other, the youngest
 *   first, until one has said how a connection is translated (nf_nat_inet_fn in
 *   net/netfilter/nf_nat_core.c); the others never see it. Both choose among the same endpoints.
 *   One that knows no such frontend says nothing, but for refusals of nftables mode, which are made
 *   here: a Service that came after its last sync is refused until its table is gone, which is
 *   moments after the first sync of its successor.
 * - The mark for masquerading: both set the same bit (iptables.masqueradeBit and
 *   nftables.masqueradeBit have one default), either before it has translated the packet, or it
 *   takes the mark back (KUBE-SVC-OUTSIDE). What nobody translates keeps none.
 * - nat POSTROUTING: again the first one that decides. Each masquerades what bears the mark,
 *   whoever set it, and what an endpoint sends to itself, by the packet's addresses; then the other
 *   is not asked. Only the one that does it clears the mark. So it does not matter if the rules
 *   that marked a packet are gone when it leaves.
 * - nat INPUT: nftables mode learns there and in POSTROUTING which endpoint a client with affinity
 *   has, from the connection itself, whoever translated it; iptables mode remembers where it
 *   translates. Neither knows what the other remembers: a client may come to another endpoint once.
 * - filter: rules of the iptables mode meet packets after they were translated, by whomever. What
 *   they refuse is a frontend that nobody translated, and they accept by the mark and by the
 *   connection's state. A packet must pass both variants of iptables, which refuse the same.
 * - Connections that are open are in none of these but filter, where their state accepts them: they
 *   stay translated as they were.
 */
import type { OwnRules, RuleForm } from "../backend/capabilities.ts";

/** Who made rules, and in which form: kube-proxy, or Sluice in another mode than now. */
export type RuleOrigin = RuleForm | `sluice-${RuleForm}`;

const FORMS: readonly RuleForm[] = ["nftables", "iptables", "iptables-legacy"];

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

export function originOf(owner: RuleOwner, form: RuleForm): RuleOrigin {
  return owner === "Sluice" ? `sluice-${form}` : form;
}

export function isOwnOrigin(origin: RuleOrigin): boolean {
  return origin.startsWith("sluice-");
}

export const ORIGIN_NAMES: { readonly [origin in RuleOrigin]: string } = {
  nftables: "kube-proxy's rules (nftables mode)",
  iptables: "kube-proxy's rules (iptables mode)",
  "iptables-legacy": "kube-proxy's rules (iptables mode, legacy)",
  "sluice-nftables": "Sluice's rules of its nftables mode",
  "sluice-iptables": "Sluice's rules of its iptables mode",
  "sluice-iptables-legacy": "Sluice's rules of its iptables mode (legacy)",
};

/**
 * Whether rules of this origin are other rules than our own. If our chains have kube-proxy's names,
 * the backend handles whatever is in them, whoever wrote it. `own` is undefined if we have no
 * rules, as at a cleanup.
 */
export function differsFromOwn(origin: RuleOrigin, own: OwnRules | undefined): boolean {
  if (own === undefined) return true;
  if (origin === originOf("Sluice", own.form)) return false;
  return !(own.sharesKubeProxyChains && origin === own.form);
}
