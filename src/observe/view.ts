/** All that health, metrics and the admin API may see: facts, read only. src/daemon/proxy-view.ts provides them. */
import type { Mode, UnservedFamily } from "../backend/capabilities.ts";
import type { Config } from "../config/config.ts";
import type { TableName } from "../model/tables.ts";
import type { Problem } from "../problems/problem.ts";
import type { SourceStatus } from "../source/source.ts";
import type { SyncReport } from "../sync/loop.ts";
import type { Exposition } from "./exposition.ts";
import type { Health } from "./proxy-health.ts";

/** The latest sync that had something to do. `at` is its end, ms since the epoch. */
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
  /** `10.96.0.1:443`, or the port alone for a node port. */
  readonly frontend: string;
  /** TCP, UDP or SCTP. */
  readonly protocol: string;
  readonly family: 4 | 6;
  readonly nodePort: boolean;
  /** Actions by table, in words: `{"frontends": "pick endpoints 5"}`. */
  readonly actions: { readonly [table in TableName]?: string };
  /** Slot tables: endpoints in slot order. */
  readonly endpoints: readonly string[];
  readonly localEndpoints: readonly string[];
  /** Where iptables serves: the chains of its port; absent where it has none, since nobody is behind it, say. */
  readonly chains?: readonly string[];
  /** Why nothing of this is in the kernel; absent where it is. */
  readonly unserved?: string;
  /** Sources that may use it; absent without loadBalancerSourceRanges. */
  readonly allowed?: readonly string[];
}

/** A Service as the kernel has it. */
export interface ServiceView {
  readonly namespace: string;
  readonly name: string;
  /** False when the Service is gone and its elements are about to go. */
  readonly exists: boolean;
  readonly type: string;
  readonly frontends: readonly FrontendView[];
  readonly problems: readonly Problem[];
}

/** Computed when asked; nothing here may be kept, or changes anything. */
export interface ReadOnlyView {
  readonly version: string;
  /** When the process started, ms since the epoch. */
  readonly startedAt: number;
  /** Milliseconds since the epoch. */
  now(): number;
  config(): Config;
  /** What serves, where the configuration may have left it open. */
  readonly mode: Mode;
  health(): Health;
  /** `eligible` is false while the Node object has not been seen. */
  node(): { readonly name: string; readonly eligible: boolean };
  /** Where the objects come from, and whether it answers. */
  sources(): readonly SourceStatus[];
  counts(): Counts;
  /** Undefined before the first. */
  lastSync(): LastSync | undefined;
  problems(): readonly Problem[];
  /** Families of which nothing is in the kernel, since this node cannot. */
  unserved(): readonly UnservedFamily[];
  /** What is not as it should be on this node although no object is at fault: rules of another proxy, say. */
  notices(): readonly string[];
  /** Every flag by its name, with its value as given, or its default; as text, like upstream's /flagz. */
  flags(): { readonly [name: string]: string };
  /** Undefined when nothing of this Service is known; costs a walk over all elements (service-view.ts). */
  service(namespace: string, name: string): ServiceView | undefined;
  /** The Prometheus text of this moment. */
  metrics(): Promise<Exposition>;
}
