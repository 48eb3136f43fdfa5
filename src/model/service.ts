/** A Service, as the core decoded it. */
import type { Address, Cidr } from "../net/address.ts";
import type { Protocol } from "../net/protocol.ts";

/** Number of a Service in the core, from 1; stable while the Service, its slices or its elements exist. */
export type ServiceId = number & { readonly brand: "ServiceId" };

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
