/** The contract of every source of objects: the API server, or a directory of manifests. */

import type { JsonObject } from "../base/json.ts";
import type { TellProblems } from "../problems/problem.ts";

export interface SourceEvents {
  /**
   * Objects went into the core: there may be dirty Services. Comes often during an initial read.
   */
  onChange(): void;
  /** This node's Node object; undefined when there is none (any more). */
  onNode(node: JsonObject | undefined): void;
  /** All ServiceCIDR objects, after each change of one. */
  onServiceCidrs(cidrs: readonly JsonObject[]): void;
  readonly onProblems: TellProblems;
  /** The source cannot go on, whatever is tried: the process must end. */
  onFatal(error: unknown): void;
  /** Once: everything that a first sync must wait for is here. */
  onSynced(): void;
}

export interface SourceStatus {
  /** The server's URL or the directory. */
  readonly name: string;
  readonly synced: boolean;
  /** Everything watched is being watched right now. */
  readonly connected: boolean;
  /** "" when all is well. */
  readonly lastError: string;
  /** Unix ms of the last news, 0 for none yet. */
  readonly lastEventAt: number;
}

export interface Source {
  start(): void;
  stop(): void;
  readonly synced: boolean;
  status(): SourceStatus;
}
