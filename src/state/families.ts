/**
 * Finds settings that leave out an address family of the node. It follows checkBadConfig in
 * kube-proxy (cmd/kube-proxy/app/server.go).
 */
import type { Config } from "../config/config.ts";
import type { NodeFacts } from "../model/node-facts.ts";
import type { Cidr, Family } from "../net/address.ts";

/** The settings that are checked. */
export type FamilySettings = Pick<Config, "detectLocal" | "clusterCIDRs" | "nodePortAddresses">;

/**
 * Returns one warning per missing range, once the node's addresses are known. Sluice still serves
 * such a family. Without a pod range it cannot tell pods from other sources; without a
 * nodePortAddresses range it serves node ports on all addresses of the family.
 */
export function missingFamilies(settings: FamilySettings, node: NodeFacts): readonly string[] {
  const { detectLocal, clusterCIDRs, nodePortAddresses } = settings;
  const families = ([4, 6] as const).filter((family) => node.nodeIPs[family] !== undefined);
  const pods = (what: string, cidrs: readonly Cidr[], hint: string) =>
    familiesMissingFrom(families, cidrs).map(
      (family) =>
        `${what} has no IPv${family} range, but the node has an IPv${family} address; IPv${family} connections to clusterIPs are not masqueraded (${hint})`,
    );
  return [
    ...(detectLocal.mode === "ClusterCIDR" ? pods("clusterCIDR", clusterCIDRs, "add a range") : []),
    ...(detectLocal.mode === "NodeCIDR"
      ? pods("spec.podCIDRs of the Node", node.podCidrs, "allocate one")
      : []),
    ...familiesMissingFrom(families, nodePortAddresses.cidrs).map(
      (family) =>
        `nodePortAddresses has no IPv${family} range, but the node has an IPv${family} address; all IPv${family} addresses serve node ports (add a range to limit them)`,
    ),
  ];
}

/** Logs each warning of `missingFamilies` once, and again if it returns after it was resolved. */
export class FamilyWarnings {
  readonly #warn: (sentence: string) => void;
  #current: readonly string[] = [];

  constructor(warn: (sentence: string) => void) {
    this.#warn = warn;
  }

  update(settings: FamilySettings, node: NodeFacts): void {
    const before = this.#current;
    this.#current = missingFamilies(settings, node);
    for (const sentence of this.#current) if (!before.includes(sentence)) this.#warn(sentence);
  }
}

/** Reports whether the Node or the clusterCIDRs have an address or pod range of this family. */
export function hasFamily(
  { clusterCIDRs }: Pick<FamilySettings, "clusterCIDRs">,
  { nodeIPs, podCidrs }: NodeFacts,
  family: Family,
): boolean {
  const ranges = [...clusterCIDRs, ...podCidrs];
  return nodeIPs[family] !== undefined || ranges.some((range) => range.family === family);
}

/** Reports whether the node may have this family. A node without known addresses may have both. */
export function mayHaveFamily({ nodeIPs }: NodeFacts, family: Family): boolean {
  const known = nodeIPs[4] !== undefined || nodeIPs[6] !== undefined;
  return !known || nodeIPs[family] !== undefined;
}

/** Returns the families without a range. An empty list of ranges requires no family. */
function familiesMissingFrom(
  families: readonly Family[],
  cidrs: readonly Cidr[],
): readonly Family[] {
  if (cidrs.length === 0) return [];
  return families.filter((family) => !cidrs.some((cidr) => cidr.family === family));
}
