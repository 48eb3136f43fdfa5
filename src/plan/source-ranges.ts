/**
 * Plans loadBalancerSourceRanges: which sources may use the VIPs of a load balancer. The ranges
 * guard nothing else.
 */

import type { NodeFacts } from "../model/node-facts.ts";
import type { Service } from "../model/service.ts";
import { tableId } from "../model/tables.ts";
import type { Cidr, Family } from "../net/address.ts";
import { cidrContains, cidrOf, removeNested } from "../net/cidr.ts";
import type { Frontend } from "../state/frontends.ts";
import type { DesiredWriter } from "./desired.ts";

const RESTRICTED = { 4: tableId("restricted", 4), 6: tableId("restricted", 6) };
const ALLOWED = { 4: tableId("allowed-sources", 4), 6: tableId("allowed-sources", 6) };

/**
 * Returns the sources that may use the Service's VIPs of a family, disjoint. Empty if every source
 * may. Ranges of the other family are ignored, and a range that covers everything lifts the limit.
 */
export function allowedSources(
  service: Service,
  family: Family,
  primary: NodeFacts["nodeIPs"],
): Cidr[] {
  const ranges = service.sourceRanges.filter((range) => range.family === family);
  if (ranges.some((range) => range.prefix === 0)) return [];
  // If a VIP is bound on the node, the node connects to it from the VIP itself.
  const own = primary[family];
  if (own !== undefined && ranges.some((range) => cidrContains(range, own))) {
    for (const vip of service.vips) if (vip.family === family) ranges.push(cidrOf(vip));
  }
  return removeNested(ranges);
}

/**
 * Writes the source restriction of one VIP frontend. It comes before the endpoint choice, so it is
 * written even without endpoints.
 */
export function planSources(
  service: Service,
  frontend: Frontend,
  allowed: readonly Cidr[],
  writer: DesiredWriter,
): void {
  if (allowed.length === 0) return;
  writer.member(RESTRICTED[frontend.family], service.id, frontend);
  for (const range of allowed) {
    writer.allowed(ALLOWED[frontend.family], service.id, frontend, range);
  }
}
