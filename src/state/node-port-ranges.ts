/** Determines the address ranges that serve node ports (nodePortAddresses). */

import type { NodeFacts } from "../model/node-facts.ts";
import { type Address, type Cidr, type Family, isLoopback } from "../net/address.ts";
import { cidrOf, removeNested } from "../net/cidr.ts";

/** The configured nodePortAddresses. If `primary` is set, `cidrs` is empty. */
export interface NodePortAddresses {
  readonly primary: boolean;
  readonly cidrs: readonly Cidr[];
}

const EVERYTHING: { readonly [family in Family]: Cidr } = {
  4: { family: 4, bytes: new Uint8Array(4), prefix: 0 },
  6: { family: 6, bytes: new Uint8Array(16), prefix: 0 },
};

/**
 * Returns the ranges that serve node ports, sorted and disjoint. In them, the addresses do that the
 * kernel considers local, except loopback addresses. If the list has no range of a family, the
 * whole family serves. With `primary`, a family without a node address serves none. If no node
 * address is known at all, every address serves, as in kube-proxy.
 */
export function nodePortRanges(
  option: NodePortAddresses,
  primary: NodeFacts["nodeIPs"],
): readonly Cidr[] {
  return removeNested(([4, 6] as const).flatMap((family) => rangesOf(option, primary, family)));
}

function rangesOf(
  option: NodePortAddresses,
  primary: NodeFacts["nodeIPs"],
  family: Family,
): readonly Cidr[] {
  if (!option.primary) {
    const ranges = option.cidrs.filter((cidr) => cidr.family === family);
    return ranges.length === 0 ? [EVERYTHING[family]] : ranges;
  }
  const known = [primary[4], primary[6]].filter((own) => own !== undefined && !isLoopback(own));
  const own = known.filter((address) => address?.family === family);
  return known.length === 0
    ? [EVERYTHING[family]]
    : own.map((address) => cidrOf(address as Address));
}
