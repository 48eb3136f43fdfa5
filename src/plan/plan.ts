/**
 * Plans the elements of each Service from the Service and its selected endpoints. The plan is pure
 * and never loops over endpoints.
 */

import type { EndpointSelection } from "../model/choice.ts";
import { addressKey, type FrontendKey } from "../model/frontend-key.ts";
import type { NodeFacts } from "../model/node-facts.ts";
import type { Service, ServiceId } from "../model/service.ts";
import { tableId } from "../model/tables.ts";
import type { Cidr, Family } from "../net/address.ts";
import type { ExpandedService } from "../state/frontends.ts";
import type { AffinityMaps } from "./affinity-maps.ts";
import type { DesiredWriter } from "./desired.ts";
import { planFrontend } from "./policy.ts";
import { allowedSources, planSources } from "./source-ranges.ts";

/** The inputs of the plan other than Services and their endpoints. */
export interface PlanContext {
  /** The node's own addresses, with bindAddress applied. */
  readonly primary: NodeFacts["nodeIPs"];
  readonly claims: { holds(id: ServiceId, key: FrontendKey): boolean };
  /** Sorted and disjoint (state/service-cidrs.ts). */
  readonly serviceCidrs: readonly Cidr[];
  /** Sorted and disjoint (state/node-port-ranges.ts). */
  readonly nodePortRanges: readonly Cidr[];
  /** Whether the backend opens healthCheckNodePorts in the firewall. */
  readonly opensHealthCheckPorts: boolean;
  /** Undefined if the backend does not remember clients in maps of its own. */
  readonly affinityMaps: AffinityMaps | undefined;
}

const CLUSTER_IPS = { 4: tableId("cluster-ips", 4), 6: tableId("cluster-ips", 6) };
const NODE_PORT_RANGES = { 4: tableId("node-port-ranges", 4), 6: tableId("node-port-ranges", 6) };
const HEALTH_CHECK_PORTS = {
  4: tableId("health-check-ports", 4),
  6: tableId("health-check-ports", 6),
};
const SERVICE_CIDRS = { 4: tableId("service-cidrs", 4), 6: tableId("service-cidrs", 6) };

/** Writes every element of one Service, for the frontends that it holds (state/claims.ts). */
export function planService(
  { service, frontends, clusterIPs }: ExpandedService,
  choices: readonly EndpointSelection[],
  context: PlanContext,
  writer: DesiredWriter,
): void {
  const { claims, primary, affinityMaps } = context;
  const healthCheckPort = context.opensHealthCheckPorts ? checkedPort(service) : 0;
  for (const address of clusterIPs) {
    if (healthCheckPort !== 0) {
      writer.port(HEALTH_CHECK_PORTS[address.family], service.id, healthCheckPort);
    }
    if (!claims.holds(service.id, addressKey(address.bytes))) continue;
    writer.address(CLUSTER_IPS[address.family], service.id, address.bytes);
  }
  const restricted = service.vips.length > 0 && service.sourceRanges.length > 0;
  const allowed = {
    4: restricted ? allowedSources(service, 4, primary) : [],
    6: restricted ? allowedSources(service, 6, primary) : [],
  };
  const byPort: EndpointSelection[] = [];
  for (const choice of choices) byPort[choiceIndex(choice.portIndex, choice.family)] = choice;
  for (const frontend of frontends) {
    if (!claims.holds(service.id, frontend.key)) continue;
    if (frontend.kind === "vip") {
      planSources(service, frontend, allowed[frontend.family], writer);
    }
    const choice = byPort[choiceIndex(frontend.portIndex, frontend.family)];
    if (choice !== undefined) {
      planFrontend(service, frontend, choice, affinityMaps, writer);
    }
  }
}

/** Writes the elements that belong to the node itself. */
export function planNode(context: PlanContext, writer: DesiredWriter): void {
  for (const cidr of context.nodePortRanges) writer.range(NODE_PORT_RANGES[cidr.family], cidr);
  for (const cidr of context.serviceCidrs) writer.range(SERVICE_CIDRS[cidr.family], cidr);
}

/** Returns the port that load balancers probe on this node, or 0 if they do not probe it. */
function checkedPort({ type, externalLocal, healthCheckNodePort }: Service): number {
  return type === "LoadBalancer" && externalLocal ? healthCheckNodePort : 0;
}

function choiceIndex(portIndex: number, family: Family): number {
  return portIndex * 2 + (family === 6 ? 1 : 0);
}
