/** Declares the interface of every object source: the API server, or a directory of manifests. */

import type { JsonObject } from "../base/json.ts";
import type { ReportProblems } from "../problems/problem.ts";

export interface SourceEvents {
  /**
   * Objects were fed into the core, so there may be dirty Services. Called often during the initial
   * read.
   */
  onChange(): void;
  /** Receives this node's Node object; undefined if it does not exist or was deleted. */
  onNode(node: JsonObject | undefined): void;
  /** Receives all ServiceCIDR objects after each change to any of them. */
  onServiceCidrs(cidrs: readonly JsonObject[]): void;
  readonly onProblems: ReportProblems;
  /** Reports an error that no retry can fix: the process must exit. */
  onFatal(error: unknown): void;
  /** Called once, when everything that the first sync needs is present. */
  onSynced(): void;
}

export interface SourceStatus {
  /** The server's URL, or the directory. */
  readonly name: string;
  readonly synced: boolean;
  /** True if every watched resource is being watched at the moment. */
  readonly connected: boolean;
  /** "" if there is no error. */
  readonly lastError: string;
  /** Unix ms of the last received data; 0 if there was none yet. */
  readonly lastEventAt: number;
}

export interface Source {
  start(): void;
  stop(): void;
  readonly synced: boolean;
  status(): SourceStatus;
}
