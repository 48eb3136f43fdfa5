/** loadBalancerSourceRanges: who may use a load balancer's VIP. Nothing else is guarded by them. */

import type { NodeFacts } from "../model/node-facts.ts";
import type { Service } from "../model/service.ts";
import { tableId } from "../model/tables.ts";
import type { Cidr, Family } from "../net/address.ts";
import { cidrOf, contains, disjoint } from "../net/cidr.ts";
import type { Frontend } from "../state/frontends.ts";
import type { DesiredWriter } from "./desired.ts";

const GUARDED = { 4: tableId("guarded", 4), 6: tableId("guarded", 6) };
const ALLOWED = { 4: tableId("allowed", 4), 6: tableId("allowed", 6) };

/**
 * The sources that may use the Service's VIPs of a family, disjoint; empty when everybody may. Ranges of
 * the other family do not count, and a range of everything lifts the restriction.
 */
export function allowedSources(
  service: Service,
  family: Family,
  primary: NodeFacts["primary"],
): Cidr[] {
  const ranges = service.sourceRanges.filter((range) => range.family === family);
  if (ranges.some((range) => range.prefix === 0)) return [];
  // A VIP may be bound on the node, which then connects to it from the VIP itself.
  const own = primary[family];
  if (own !== undefined && ranges.some((range) => contains(range, own))) {
    for (const vip of service.vips) if (vip.family === family) ranges.push(cidrOf(vip));
  }
  return disjoint(ranges);
}

/** Writes the guard of one VIP frontend; endpoints or not, since it stands before the choice. */
export function planSources(
  service: Service,
  frontend: Frontend,
  allowed: readonly Cidr[],
  writer: DesiredWriter,
): void {
  if (allowed.length === 0) return;
  writer.member(GUARDED[frontend.family], service.id, frontend);
  for (const range of allowed) {
    writer.allowed(ALLOWED[frontend.family], service.id, frontend, range);
  }
}
