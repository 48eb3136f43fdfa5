/** Which addresses of this node serve node ports (nodePortAddresses). */
import { cidrOf, contains } from "../net/cidr.ts";
import { compareAddresses, isLoopback } from "../net/ip.ts";
import type { Family } from "../plan/tables.ts";
import type { Address, Cidr, NodeFacts } from "../types.ts";

/** The configuration's nodePortAddresses. `primary` stands alone; `cidrs` is then empty. */
export interface NodePortAddresses {
  readonly primary: boolean;
  readonly cidrs: readonly Cidr[];
}

/**
 * The addresses on this node's interfaces that serve node ports: sorted, each once. Loopback never does.
 * A family without a range in the list is served on all its addresses; so is one whose primary address is
 * unknown, as in kube-proxy.
 */
export function nodePortAddresses(
  option: NodePortAddresses,
  primary: NodeFacts["primary"],
  onInterfaces: readonly Address[],
): Address[] {
  const served = onInterfaces.filter((address) => {
    if (isLoopback(address)) return false;
    const ranges = rangesOf(option, primary, address.family);
    return ranges.length === 0 || ranges.some((range) => contains(range, address));
  });
  return served
    .sort(compareAddresses)
    .filter((address, i) => i === 0 || compareAddresses(address, served[i - 1] as Address) !== 0);
}

function rangesOf(
  option: NodePortAddresses,
  primary: NodeFacts["primary"],
  family: Family,
): readonly Cidr[] {
  if (!option.primary) return option.cidrs.filter((cidr) => cidr.family === family);
  const own = primary[family];
  return own === undefined || isLoopback(own) ? [] : [cidrOf(own)];
}
