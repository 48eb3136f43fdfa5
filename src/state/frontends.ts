/**
 * Frontends: the addresses and ports a Service answers on. One list for everybody who asks: the
 * claims that settle who gets a frontend, and the plan that makes elements of it.
 */
import { type FrontendKey, frontendKey, nodePortKey } from "../model/frontend-key.ts";
import type { Service, ServicePort } from "../model/service.ts";
import type { Address, Family } from "../net/address.ts";
import type { Protocol } from "../net/protocol.ts";

/** Where a frontend is written in the Service; traffic policies and source ranges depend on it. */
export type FrontendKind = "cluster-ip" | "external-ip" | "vip" | "node-port";

/** One address and port of a Service, in one family. */
export interface Frontend {
  readonly kind: FrontendKind;
  readonly family: Family;
  /** Undefined for a node port: whatever addresses of this node serve node ports. */
  readonly address: Address | undefined;
  readonly protocol: Protocol;
  readonly port: number;
  /** Which of the Service's ports it belongs to. */
  readonly portIndex: number;
  readonly key: FrontendKey;
}

/** A Service with its frontends expanded, once for everybody who needs them in a sync. */
export interface ExpandedService {
  readonly service: Service;
  readonly frontends: readonly Frontend[];
  /** Those it is served on: `clusterIpsOf` */
  readonly clusterIPs: readonly Address[];
}

export function expandService(service: Service): ExpandedService {
  return { service, frontends: frontendsOf(service), clusterIPs: clusterIpsOf(service) };
}

/**
 * Every frontend of a Service, each key once. A family is served when the Service has a clusterIP
 * of it; addresses of another family are passed over, as kube-proxy does. Where two ports or kinds
 * claim the same frontend the later one wins, in the order of ports, then clusterIP, externalIPs,
 * VIPs; of two ports with the same name and protocol the later one wins.
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

/** The clusterIPs a Service is served on: one of each family, none without ports. */
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

/** The field of the Service a frontend comes from, for a Problem. */
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
 * Indexes of the ports that no later port of the same name and protocol replaces; undefined: all.
 */
function servedPorts(ports: readonly ServicePort[]): Set<number> | undefined {
  if (ports.length < 2) return undefined;
  const last = new Map<string, number>();
  ports.forEach((port, index) => {
    last.set(`${port.protocol}/${port.name}`, index);
  });
  return last.size === ports.length ? undefined : new Set(last.values());
}
