/** Selects the addresses of this node that serve node ports (nodePortAddresses). */

import type { NodeFacts } from "../model/node-facts.ts";
import {
  type Address,
  type Cidr,
  compareAddresses,
  type Family,
  isLoopback,
} from "../net/address.ts";
import { cidrContains, cidrOf } from "../net/cidr.ts";

/** The configured nodePortAddresses. If `primary` is set, `cidrs` is empty. */
export interface NodePortAddresses {
  readonly primary: boolean;
  readonly cidrs: readonly Cidr[];
}

/**
 * Returns the interface addresses that serve node ports, sorted and without duplicates. Loopback
 * addresses never do. If the list has no range of a family, all addresses of the family do. With
 * `primary`, a family without a node address serves none. If no node address is known at all, every
 * address serves, as in kube-proxy.
 */
export function nodePortAddresses(
  option: NodePortAddresses,
  primary: NodeFacts["nodeIPs"],
  onInterfaces: readonly Address[],
): Address[] {
  const served = onInterfaces.filter((address) => {
    if (isLoopback(address)) return false;
    const ranges = rangesOf(option, primary, address.family);
    return ranges === "all" || ranges.some((range) => cidrContains(range, address));
  });
  return served
    .sort(compareAddresses)
    .filter((address, i) => i === 0 || compareAddresses(address, served[i - 1] as Address) !== 0);
}

function rangesOf(
  option: NodePortAddresses,
  primary: NodeFacts["nodeIPs"],
  family: Family,
): readonly Cidr[] | "all" {
  if (!option.primary) {
    const ranges = option.cidrs.filter((cidr) => cidr.family === family);
    return ranges.length === 0 ? "all" : ranges;
  }
  const known = [primary[4], primary[6]].filter((own) => own !== undefined && !isLoopback(own));
  const own = known.filter((address) => address?.family === family);
  return known.length === 0 ? "all" : own.map((address) => cidrOf(address as Address));
}
