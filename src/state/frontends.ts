/**
 * Lists the frontends of a Service: the addresses and ports it answers on. The claims use the list
 * to settle who holds a frontend, and the plan makes elements from it.
 */
import { type FrontendKey, frontendKey, nodePortKey } from "../model/frontend-key.ts";
import type { Service, ServicePort } from "../model/service.ts";
import type { Address, Family } from "../net/address.ts";
import type { Protocol } from "../net/protocol.ts";

/**
 * The field of the Service that declares the frontend. Traffic policies and source ranges depend on
 * it.
 */
export type FrontendKind = "cluster-ip" | "external-ip" | "vip" | "node-port";

/** One address and port of a Service, in one family. */
export interface Frontend {
  readonly kind: FrontendKind;
  readonly family: Family;
  /**
   * Undefined for a node port, which answers on every address of the node that serves node ports.
   */
  readonly address: Address | undefined;
  readonly protocol: Protocol;
  readonly port: number;
  /** Index of the Service's port that the frontend belongs to. */
  readonly portIndex: number;
  readonly key: FrontendKey;
}

/** A Service with its frontends, computed once per sync for all that need them. */
export interface ExpandedService {
  readonly service: Service;
  readonly frontends: readonly Frontend[];
  /** The clusterIPs that the Service is served on (`clusterIpsOf`). */
  readonly clusterIPs: readonly Address[];
}

export function expandService(service: Service): ExpandedService {
  return { service, frontends: frontendsOf(service), clusterIPs: clusterIpsOf(service) };
}

/**
 * Returns every frontend of a Service, without duplicate keys. As in kube-proxy, a family is served
 * if the Service has a clusterIP of it; addresses of another family are ignored. If two ports or
 * kinds declare the same frontend, the later one wins. The order is by port, then clusterIP,
 * externalIPs, VIPs and node port. If two ports share a name and a protocol, the later one wins.
 */
export function frontendsOf(service: Service): Frontend[] {
  const found: Frontend[] = [];
  addFrontends(service, 4, found);
  addFrontends(service, 6, found);
  if (found.length < 2) return found;
  const last = new Map<FrontendKey, Frontend>();
  for (const frontend of found) last.set(frontend.key, frontend);
  return last.size === found.length ? found : [...last.values()];
}

/** Returns the clusterIPs that a Service is served on: one per family, none without ports. */
export function clusterIpsOf(service: Service): Address[] {
  if (service.ports.length === 0) return [];
  const ipv4 = firstOf(service.clusterIPs, 4);
  const ipv6 = firstOf(service.clusterIPs, 6);
  if (ipv4 === undefined) return ipv6 === undefined ? [] : [ipv6];
  return ipv6 === undefined ? [ipv4] : [ipv4, ipv6];
}

function addFrontends(service: Service, family: Family, found: Frontend[]): void {
  const clusterIp = firstOf(service.clusterIPs, family);
  if (clusterIp === undefined) return;
  const { ports, externalIPs, vips } = service;
  const served = servedPorts(ports);
  for (let i = 0; i < ports.length; i++) {
    if (served !== undefined && !served.has(i)) continue;
    const { protocol, port, nodePort } = ports[i] as ServicePort;
    found.push(frontend("cluster-ip", family, clusterIp, protocol, port, i));
    for (const address of externalIPs) {
      if (address.family !== family) continue;
      found.push(frontend("external-ip", family, address, protocol, port, i));
    }
    for (const address of vips) {
      if (address.family !== family) continue;
      found.push(frontend("vip", family, address, protocol, port, i));
    }
    if (nodePort !== 0 && service.type !== "ClusterIP") {
      found.push(frontend("node-port", family, undefined, protocol, nodePort, i));
    }
  }
}

function frontend(
  kind: FrontendKind,
  family: Family,
  address: Address | undefined,
  protocol: Protocol,
  port: number,
  portIndex: number,
): Frontend {
  const key =
    address === undefined
      ? nodePortKey(family, protocol, port)
      : frontendKey(address.bytes, protocol, port);
  return { kind, family, address, protocol, port, portIndex, key };
}

function firstOf(addresses: readonly Address[], family: Family): Address | undefined {
  for (const address of addresses) if (address.family === family) return address;
  return undefined;
}

/** Returns the field of the Service that declares a frontend, for a Problem. */
export function fieldOf(frontend: Frontend): string {
  switch (frontend.kind) {
    case "cluster-ip":
      return "spec.clusterIPs";
    case "external-ip":
      return "spec.externalIPs";
    case "vip":
      return "status.loadBalancer.ingress";
    case "node-port":
      return `spec.ports[${frontend.portIndex}].nodePort`;
  }
}

/**
 * Returns the indexes of the ports that no later port of the same name and protocol replaces.
 * Undefined stands for all ports.
 */
function servedPorts(ports: readonly ServicePort[]): Set<number> | undefined {
  if (ports.length < 2) return undefined;
  const last = new Map<string, number>();
  ports.forEach((port, index) => {
    last.set(`${port.protocol}/${port.name}`, index);
  });
  return last.size === ports.length ? undefined : new Set(last.values());
}
