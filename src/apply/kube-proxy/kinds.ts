/** Whose rules of Services can be in the kernel, and in which way; and which of them are left over beside ours. Pure. */
import type { OwnRules } from "../backend.ts";

/** Ways in which rules can be in the kernel; "iptables" is iptables-nft. */
export type Way = "nftables" | "iptables" | "iptables-legacy";

/** Rules of kube-proxy; or those that Sluice itself made, in another mode than it is in now. */
export type RulesKind = Way | `sluice-${Way}`;

const WAYS: readonly Way[] = ["nftables", "iptables", "iptables-legacy"];

export const ALL_KINDS: readonly RulesKind[] = [
  ...WAYS.map((way) => `sluice-${way}` as const),
  ...WAYS,
];
export const SLUICES: readonly RulesKind[] = ALL_KINDS.filter(isSluices);

export type Maker = "kube-proxy" | "Sluice";

export function kindOf(maker: Maker, way: Way): RulesKind {
  return maker === "Sluice" ? `sluice-${way}` : way;
}

export function isSluices(kind: RulesKind): boolean {
  return kind.startsWith("sluice-");
}

export const NAMES: { readonly [kind in RulesKind]: string } = {
  nftables: "kube-proxy's rules (nftables mode)",
  iptables: "kube-proxy's rules (iptables mode)",
  "iptables-legacy": "kube-proxy's rules (iptables mode, legacy)",
  "sluice-nftables": "Sluice's rules of its nftables mode",
  "sluice-iptables": "Sluice's rules of its iptables mode",
  "sluice-iptables-legacy": "Sluice's rules of its iptables mode (legacy)",
};

/** The way of our own rules. Undefined: we have none, as at a cleanup. */
export function ownWay(own: OwnRules | undefined): Way | undefined {
  if (own === undefined || own.kind === "nftables") return own?.kind;
  return own.variant === "nft" ? "iptables" : "iptables-legacy";
}

/**
 * Are rules of this kind something else than our own? In iptables mode our chains bear the names of kube-proxy's, so
 * that what is in them is for the backend to say, whoever wrote it.
 */
export function isBeside(kind: RulesKind, own: OwnRules | undefined): boolean {
  const way = ownWay(own);
  if (way === undefined) return true;
  return way === "nftables" ? kind !== "sluice-nftables" : kind !== way && kind !== `sluice-${way}`;
}
