/**
 * The values on the arrows of the flow: watch → state → select → plan → diff → apply. Read this first.
 */
import type { Family, TableId } from "./plan/tables.ts";

/** Transport protocols by their IP number. */
export const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;
export type ProtocolName = keyof typeof PROTOCOLS;
export type Protocol = (typeof PROTOCOLS)[ProtocolName];

/** Number of a Service in the core, from 1; stable while the Service, its slices or its elements exist. */
export type ServiceId = number & { readonly brand: "ServiceId" };

/** An IP address in network order: 4 or 16 bytes. */
export interface Address {
  readonly family: Family;
  readonly bytes: Uint8Array;
}

/** A range of addresses. `bytes` has its host bits cleared. */
export interface Cidr extends Address {
  readonly prefix: number;
}

/** One port of a Service. `nodePort` 0 means none. targetPort is not a proxy's business. */
export interface ServicePort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly nodePort: number;
}

/** A Service, as far as a proxy cares. Made from the core's block when it is needed; dies young. */
export interface Service {
  readonly id: ServiceId;
  readonly namespace: string;
  readonly name: string;
  /** creationTimestamp in Unix seconds: the older of two Services keeps a frontend both claim. */
  readonly created: number;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer";
  readonly ports: readonly ServicePort[];
  readonly clusterIPs: readonly Address[];
  readonly externalIPs: readonly Address[];
  /** Load balancer ingress addresses with ipMode VIP. */
  readonly vips: readonly Address[];
  readonly sourceRanges: readonly Cidr[];
  /** externalTrafficPolicy: Local as written; whether it applies is the plan's business. */
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
  /** ClientIP affinity: seconds a client is remembered; 0 without affinity. */
  readonly affinitySeconds: number;
  readonly healthCheckNodePort: number;
}

/** Endpoints in the core's memory: `count` records of the family's stride from `pointer`. */
export interface EndpointSpan {
  readonly pointer: number;
  readonly count: number;
}

/** What selection found for one service port in one family (kube-proxy's CategorizeEndpoints). */
export interface Choice {
  readonly portIndex: number;
  readonly family: Family;
  /** Ready endpoints after topology hints, or serving-terminating ones when none is Ready. */
  readonly cluster: EndpointSpan;
  /** The same of this node only; hints do not apply. */
  readonly local: EndpointSpan;
  /** Some endpoint is usable somewhere, on this node or not. */
  readonly usable: boolean;
}

/** What the plan needs to know besides Services: the node and the configuration. */
export interface NodeFacts {
  readonly name: string;
  /** "" while the object has not been seen. */
  readonly uid: string;
  /** Node IPs by family, from status.addresses: InternalIP first, then ExternalIP. */
  readonly primary: { readonly [family in Family]?: Address };
  readonly zone: string;
  readonly podCidrs: readonly Cidr[];
  /** Being deleted, or tainted ToBeDeletedByClusterAutoscaler: not eligible for load balancers. */
  readonly eligible: boolean;
}

/** One operation of a delta: an element of a table to add or to delete. */
export interface Operation {
  readonly kind: "add" | "delete";
  readonly table: TableId;
  readonly owner: number;
  /** Key and value bytes, valid until the next call into the core. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * A problem with one object: skipped, counted, logged once, shown by the admin API until the object is
 * mended or deleted.
 */
export interface Problem {
  /** `Service default/web`, `EndpointSlice default/web-abcde`, `/etc/sluice/web.yaml:12`. */
  readonly subject: string;
  readonly code: import("./errors.ts").ErrorCode;
  /** The field at fault, as a path: `spec.externalIPs[1]`. */
  readonly field: string;
  readonly message: string;
}

/** Which problems of a subject are over: that of one field, or without `field` all of this code. */
export interface ProblemEnd {
  readonly subject: string;
  readonly code: import("./errors.ts").ErrorCode;
  readonly field?: string;
}

/** A problem began, or says something else than before; or some are over. */
export type ProblemEvent = { readonly begin: Problem } | { readonly end: ProblemEnd };

/** Takes what became of problems, in order. What ends and begins again in one call went on all the time. */
export type TellProblems = (events: readonly ProblemEvent[]) => void;
