/** Which addresses of this node serve node ports (nodePortAddresses). */

import type { NodeFacts } from "../model/node-facts.ts";
import {
  type Address,
  type Cidr,
  compareAddresses,
  type Family,
  isLoopback,
} from "../net/address.ts";
import { cidrOf, contains } from "../net/cidr.ts";

/** The configuration's nodePortAddresses. `primary` stands alone; `cidrs` is then empty. */
export interface NodePortAddresses {
  readonly primary: boolean;
  readonly cidrs: readonly Cidr[];
}

/**
 * The addresses on this node's interfaces that serve node ports: sorted, each once. Loopback never does.
 * A family without a range in the list is served on all its addresses. With `primary`, a node that has no
 * address of a family serves none of it; one of which nothing is known serves all, as in kube-proxy.
 */
export function nodePortAddresses(
  option: NodePortAddresses,
  primary: NodeFacts["primary"],
  onInterfaces: readonly Address[],
): Address[] {
  const served = onInterfaces.filter((address) => {
    if (isLoopback(address)) return false;
    const ranges = rangesOf(option, primary, address.family);
    return ranges === "all" || ranges.some((range) => contains(range, address));
  });
  return served
    .sort(compareAddresses)
    .filter((address, i) => i === 0 || compareAddresses(address, served[i - 1] as Address) !== 0);
}

function rangesOf(
  option: NodePortAddresses,
  primary: NodeFacts["primary"],
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
