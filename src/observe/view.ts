/**
 * Declares the read-only facts that health, metrics and the admin API may see. daemon/proxy-view.ts
 * provides them.
 */
import type { Mode, UnservedFamily } from "../backend/capabilities.ts";
import type { Config } from "../config/config.ts";
import type { TableName } from "../model/tables.ts";
import type { Problem } from "../problems/problem.ts";
import type { SourceStatus } from "../source/source.ts";
import type { SyncReport } from "../sync/loop.ts";
import type { Exposition } from "./exposition.ts";
import type { Health } from "./proxy-health.ts";

/** The latest sync that had work to do. `at` is its end, ms since the epoch. */
export interface LastSync {
  readonly at: number;
  readonly report: SyncReport;
}

/** Sizes at one moment. */
export interface Counts {
  readonly services: number;
  readonly slices: number;
  readonly endpoints: number;
  /** Committed elements by table, both families together. */
  readonly elements: { readonly [table in TableName]?: number };
  /** Bytes of the core's linear memory. */
  readonly coreBytes: number;
  /** Service ports with a Local policy that have endpoints elsewhere but none on this node. */
  readonly noLocalEndpoints: readonly {
    readonly policy: "internal" | "external";
    readonly family: 4 | 6;
    readonly count: number;
  }[];
}

/** How one frontend is programmed. */
export interface FrontendView {
  /** `10.96.0.1:443`, or only the port for a node port. */
  readonly frontend: string;
  /** TCP, UDP or SCTP. */
  readonly protocol: string;
  readonly family: 4 | 6;
  readonly nodePort: boolean;
  /** Actions by table, as text: `{"frontends": "pick endpoints 5"}`. */
  readonly actions: { readonly [table in TableName]?: string };
  /** Endpoints in slot order, from the slot tables. */
  readonly endpoints: readonly string[];
  readonly localEndpoints: readonly string[];
  /**
   * The iptables chains of the port. Absent with nftables, and if the port has no chains (for
   * example, because it has no endpoints).
   */
  readonly chains?: readonly string[];
  /** The reason why none of this is in the kernel; absent if it is. */
  readonly unserved?: string;
  /** The sources that may use it; absent without loadBalancerSourceRanges. */
  readonly allowed?: readonly string[];
}

/** A Service as it is in the kernel. */
export interface ServiceView {
  readonly namespace: string;
  readonly name: string;
  /** False if the Service was deleted and its elements are about to be removed. */
  readonly exists: boolean;
  readonly type: string;
  readonly frontends: readonly FrontendView[];
  readonly problems: readonly Problem[];
}

/** Computed on request. Callers must not keep results, and nothing here changes state. */
export interface ProxyView {
  readonly version: string;
  /** Start of the process, ms since the epoch. */
  readonly startedAt: number;
  /** Milliseconds since the epoch. */
  now(): number;
  config(): Config;
  /** The active mode, which the configuration may leave open. */
  readonly mode: Mode;
  health(): Health;
  /** `eligible` is false until the Node object has been seen. */
  node(): { readonly name: string; readonly eligible: boolean };
  /** Returns each source of objects and whether it answers. */
  sources(): readonly SourceStatus[];
  counts(): Counts;
  /** Undefined before the first sync. */
  lastSync(): LastSync | undefined;
  problems(): readonly Problem[];
  /** Returns the families that have no rules because the node does not support them. */
  unserved(): readonly UnservedFamily[];
  /** Returns facts about this node for the operator, for example that another proxy has rules. */
  notices(): readonly string[];
  /** Returns every flag with its given or default value as text, like kube-proxy's /flagz. */
  flags(): { readonly [name: string]: string };
  /** Undefined for an unknown Service. Costs a walk over all elements (service-view.ts). */
  service(namespace: string, name: string): ServiceView | undefined;
  /** Returns the current Prometheus text. */
  metrics(): Promise<Exposition>;
}
