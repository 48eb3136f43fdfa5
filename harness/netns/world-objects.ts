/** Builds the Kubernetes objects of a world from compact test tables. */
import {
  addressOf,
  clusterIp,
  externalIp,
  FAMILIES,
  type Family,
  type Location,
  NODE1_POD_CIDR,
  nodeOf,
  PODS,
  type Pod,
  SERVICE_CIDR,
  vip,
} from "./addresses.ts";

/** Any object, as in a manifest. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

export interface PortSpec {
  readonly name?: string;
  readonly port?: number;
  /** Target port of the endpoints. */
  readonly target?: number;
  readonly protocol?: "TCP" | "UDP" | "SCTP";
  readonly nodePort?: number;
}

export interface ServiceSpec {
  readonly name: string;
  /** Number that determines its addresses and node port. */
  readonly number: number;
  readonly type?: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
  readonly ports?: readonly PortSpec[];
  readonly headless?: boolean;
  readonly externalIPs?: readonly string[];
  readonly ipMode?: "VIP" | "Proxy";
  /** Load balancer addresses; by default one per family, from the number. */
  readonly vips?: readonly string[];
  readonly externalPolicy?: "Cluster" | "Local";
  readonly internalPolicy?: "Cluster" | "Local";
  readonly affinitySeconds?: number;
  readonly sourceRanges?: readonly string[];
  readonly healthCheckNodePort?: number;
  /** Seconds after the beginning of 2026. */
  readonly created?: number;
  readonly labels?: Readonly<Record<string, string>>;
}

const DEFAULT_PORTS: readonly PortSpec[] = [{}];
const YEAR_2026 = Date.UTC(2026, 0, 1);

/** Node port of a Service's first port; each further port adds 100. */
export function nodePort(number: number): number {
  return 30000 + number;
}

export function service(spec: ServiceSpec): Manifest {
  const { number, type = "ClusterIP", ports = DEFAULT_PORTS } = spec;
  const open = type === "NodePort" || type === "LoadBalancer";
  const clusterIPs = spec.headless
    ? ["None"]
    : type === "ExternalName"
      ? []
      : FAMILIES.map((family) => clusterIp(number, family));
  const vips = spec.vips ?? FAMILIES.map((family) => vip(number, family));
  const ingress = vips.map((ip) => ({
    ip,
    ...(spec.ipMode === undefined ? {} : { ipMode: spec.ipMode }),
  }));
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      namespace: "default",
      name: spec.name,
      creationTimestamp: new Date(YEAR_2026 + (spec.created ?? 0) * 1000)
        .toISOString()
        .replace(".000", ""),
      ...(spec.labels === undefined ? {} : { labels: spec.labels }),
    },
    spec: {
      type,
      ...(type === "ExternalName" ? { externalName: "example.com" } : {}),
      ...(clusterIPs.length > 0 ? { clusterIP: clusterIPs[0], clusterIPs } : {}),
      ipFamilies: ["IPv4", "IPv6"],
      ipFamilyPolicy: "RequireDualStack",
      ports: ports.map((port, index) => ({
        name: port.name ?? "web",
        protocol: port.protocol ?? "TCP",
        port: port.port ?? 80,
        targetPort: port.target ?? 8080,
        ...(open ? { nodePort: port.nodePort ?? nodePort(number) + 100 * index } : {}),
      })),
      ...(spec.externalIPs === undefined ? {} : { externalIPs: spec.externalIPs }),
      ...(spec.externalPolicy === undefined ? {} : { externalTrafficPolicy: spec.externalPolicy }),
      ...(spec.internalPolicy === undefined ? {} : { internalTrafficPolicy: spec.internalPolicy }),
      ...(spec.sourceRanges === undefined ? {} : { loadBalancerSourceRanges: spec.sourceRanges }),
      ...(spec.healthCheckNodePort === undefined
        ? {}
        : { healthCheckNodePort: spec.healthCheckNodePort }),
      ...(spec.affinitySeconds === undefined
        ? { sessionAffinity: "None" }
        : {
            sessionAffinity: "ClientIP",
            sessionAffinityConfig: { clientIP: { timeoutSeconds: spec.affinitySeconds } },
          }),
    },
    ...(type === "LoadBalancer" ? { status: { loadBalancer: { ingress } } } : {}),
  };
}

/** The external addresses of a Service by its number, for `externalIPs`. */
export function externalIps(number: number): string[] {
  return FAMILIES.map((family) => externalIp(number, family));
}

/** A pod, or a node if the pod is on the host's network. */
export type EndpointPlace = Pod | "node1" | "node2";

export interface EndpointSpec {
  readonly at: EndpointPlace;
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
  /** In place of the name of its node; "absent" leaves out the field. */
  readonly nodeName?: string;
}

export interface SliceOptions {
  readonly suffix?: string;
  readonly ports?: readonly PortSpec[];
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * The EndpointSlices of a Service, one for each family. A plain name is an endpoint without
 * conditions.
 */
export function slices(
  name: string,
  endpoints: readonly (EndpointPlace | EndpointSpec)[],
  options: SliceOptions = {},
): Manifest[] {
  const specs = endpoints.map((each) => (typeof each === "string" ? { at: each } : each));
  return FAMILIES.map((family) => slice(name, family, specs, options));
}

function slice(
  name: string,
  family: Family,
  endpoints: readonly EndpointSpec[],
  options: SliceOptions,
): Manifest {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      namespace: "default",
      name: `${name}-${options.suffix ?? "x"}-ipv${family}`,
      labels: { "kubernetes.io/service-name": name, ...options.labels },
    },
    addressType: `IPv${family}`,
    ports: (options.ports ?? DEFAULT_PORTS).map((port) => ({
      name: port.name ?? "web",
      protocol: port.protocol ?? "TCP",
      port: port.target ?? 8080,
    })),
    endpoints: endpoints.map((each) => ({
      addresses: [addressOf(each.at, family)],
      ...nodeNameOf(each),
      conditions: {
        ...(each.ready === undefined ? {} : { ready: each.ready }),
        ...(each.serving === undefined ? {} : { serving: each.serving }),
        ...(each.terminating === undefined ? {} : { terminating: each.terminating }),
      },
      ...hintsOf(each),
    })),
  };
}

function nodeNameOf({ at, nodeName }: EndpointSpec): { nodeName?: string } {
  if (nodeName === "absent") return {};
  return { nodeName: nodeName ?? (isPod(at) ? nodeOf(at) : at) };
}

function hintsOf(endpoint: EndpointSpec): { hints?: unknown } {
  const { zones, nodes } = endpoint;
  if (zones === undefined && nodes === undefined) return {};
  return {
    hints: {
      ...(zones === undefined ? {} : { forZones: zones.map((name) => ({ name })) }),
      ...(nodes === undefined ? {} : { forNodes: nodes.map((name) => ({ name })) }),
    },
  };
}

function isPod(place: Location): place is Pod {
  return PODS.some((pod) => pod === place);
}

/** The node under test, in zone z1, and the range of clusterIPs. */
export function commonObjects(): Manifest[] {
  return [
    {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "node1", labels: { "topology.kubernetes.io/zone": "z1" } },
      spec: { podCIDR: NODE1_POD_CIDR[4], podCIDRs: FAMILIES.map((each) => NODE1_POD_CIDR[each]) },
      status: {
        addresses: FAMILIES.map((each) => ({
          type: "InternalIP",
          address: addressOf("node1", each),
        })),
      },
    },
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "kubernetes" },
      spec: { cidrs: FAMILIES.map((each) => SERVICE_CIDR[each]) },
    },
  ];
}
