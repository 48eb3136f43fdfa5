/**
 * Settings that leave one of the node's families out: upstream's checkBadConfig
 * (cmd/kube-proxy/app/server.go).
 */
import type { Config } from "../config/config.ts";
import type { NodeFacts } from "../model/node-facts.ts";
import type { Cidr, Family } from "../net/address.ts";

/** The settings that are looked at. */
export type RangeSettings = Pick<Config, "detectLocal" | "clusterCIDRs" | "nodePortAddresses">;

/**
 * What to warn of, a sentence each, once the node's addresses are known. A family without a range
 * is served even so, but pods of that family cannot be told from others.
 */
export function missingFamilies(settings: RangeSettings, node: NodeFacts): readonly string[] {
  const { detectLocal, clusterCIDRs, nodePortAddresses } = settings;
  const families = ([4, 6] as const).filter((family) => node.primary[family] !== undefined);
  const pods = (what: string, cidrs: readonly Cidr[]) =>
    lacking(families, cidrs).map(
      (family) =>
        `The node has an IPv${family} address, but ${what} has no range of IPv${family}: pods cannot be told from other sources there, and nothing to clusterIPs is masqueraded`,
    );
  return [
    ...(detectLocal.mode === "ClusterCIDR" ? pods("clusterCIDR", clusterCIDRs) : []),
    ...(detectLocal.mode === "NodeCIDR" ? pods("the Node's podCIDRs", node.podCidrs) : []),
    ...lacking(families, nodePortAddresses.cidrs).map(
      (family) =>
        `The node has an IPv${family} address, but nodePortAddresses has no range of IPv${family}: node ports are served on all IPv${family} addresses`,
    ),
  ];
}

/** Warns of what `missingFamilies` lists: once, and again if it was over in between. */
export class FamilyWarnings {
  readonly #warn: (sentence: string) => void;
  #current: readonly string[] = [];

  constructor(warn: (sentence: string) => void) {
    this.#warn = warn;
  }

  update(settings: RangeSettings, node: NodeFacts): void {
    const before = this.#current;
    this.#current = missingFamilies(settings, node);
    for (const sentence of this.#current) if (!before.includes(sentence)) this.#warn(sentence);
  }
}

/** The Node has an address or a range of pods of this family, or the configuration has one. */
export function hasFamily(
  { clusterCIDRs }: Pick<RangeSettings, "clusterCIDRs">,
  { primary, podCidrs }: NodeFacts,
  family: Family,
): boolean {
  const ranges = [...clusterCIDRs, ...podCidrs];
  return primary[family] !== undefined || ranges.some((range) => range.family === family);
}

/** A node of which no address is known may be of both. */
export function mayServe({ primary }: NodeFacts, family: Family): boolean {
  const known = primary[4] !== undefined || primary[6] !== undefined;
  return !known || primary[family] !== undefined;
}

/** Without any range nothing is asked of any family. */
function lacking(families: readonly Family[], cidrs: readonly Cidr[]): readonly Family[] {
  if (cidrs.length === 0) return [];
  return families.filter((family) => !cidrs.some((cidr) => cidr.family === family));
}
