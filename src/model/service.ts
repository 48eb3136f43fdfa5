/** Describes a Service as the core decoded it. */
import type { Address, Cidr } from "../net/address.ts";
import type { Protocol } from "../net/protocol.ts";

/**
 * The core's number for a Service, from 1. It stays the same while the Service, its slices or its
 * elements exist.
 */
export type ServiceId = number & { readonly brand: "ServiceId" };

/** One port of a Service. A `nodePort` of 0 means none. A proxy does not need targetPort. */
export interface ServicePort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly nodePort: number;
}

/**
 * The fields of a Service that a proxy needs. Created on demand from the core's record, and
 * not kept.
 */
export interface Service {
  readonly id: ServiceId;
  readonly namespace: string;
  readonly name: string;
  /**
   * creationTimestamp in Unix seconds. If two Services claim a frontend, the older one keeps it.
   */
  readonly created: number;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer";
  readonly ports: readonly ServicePort[];
  readonly clusterIPs: readonly Address[];
  readonly externalIPs: readonly Address[];
  /** Load balancer ingress addresses with ipMode VIP. */
  readonly vips: readonly Address[];
  readonly sourceRanges: readonly Cidr[];
  /** True if externalTrafficPolicy is Local in the spec. The plan decides whether it applies. */
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
  /** ClientIP affinity timeout in seconds; 0 without affinity. */
  readonly affinitySeconds: number;
  readonly healthCheckNodePort: number;
}
