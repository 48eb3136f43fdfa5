/**
 * Defines the contract between the sync and a backend; nftables/ and iptables/ implement it.
 * Operations concern elements of the tables in model/tables.ts. Each backend decides how the kernel
 * represents an element: an element of a map, or rules in chains.
 */

import type { SluiceError } from "../base/errors.ts";
import type { Core } from "../core/core.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { OwnerId } from "../model/owner.ts";
import type { Service } from "../model/service.ts";
import type { Capabilities, Mode } from "./capabilities.ts";
import type { Drift, ForeignChange } from "./drift.ts";
import type { ChainReader, CounterReader, FullFrontendReader, LeftoverRules } from "./parts.ts";
import type { SkeletonOptions } from "./skeleton-options.ts";

/** The outcome of one `apply`. */
export type ApplyResult =
  | { readonly ok: true; readonly bytes: number; readonly kernelMs: number }
  | {
      readonly ok: false;
      readonly error: SluiceError;
      /** The owner of the element or rule that the kernel refused, if the error names it. */
      readonly owner?: OwnerId;
      /** A later retry may succeed (EINTR, ENOBUFS, a lost table). */
      readonly transient: boolean;
      /**
       * The kernel's contents differ from what was committed: another program deleted or added an
       * element, or the whole table. Every retry fails until `verify` has checked it.
       */
      readonly drifted?: boolean;
    };

/** The result of `start`: the state of the kernel before it. */
export interface Adoption {
  /**
   * - `fresh`: nothing.
   * - `adopted`: rules of an earlier process, which stay.
   * - `replaced`: a table with another layout, or chains of a kube-proxy. They serve until the
   *   first `apply` replaces them.
   */
  readonly outcome: "fresh" | "adopted" | "replaced";
  /** For the log: `table inet sluice`, `chains of iptables-nft` */
  readonly what: string;
  /** Number of adopted objects: elements of maps, or chains. */
  readonly elements: number;
}

/** Looks up the owners of operations. */
export interface OwnerLookup {
  /** `namespace/name`, or "" for the node. Callable until the receipt has arrived. */
  readonly nameOf: (owner: OwnerId) => string;
  /**
   * The Service that the operations were planned from; undefined for the node and for a deleted
   * Service.
   */
  readonly serviceOf: (owner: OwnerId) => Service | undefined;
}

/** A backend. `probe` comes first, then `start`, and `close` last. */
export interface Backend {
  readonly mode: Mode;
  /** Valid from `probe` on. */
  readonly capabilities: Capabilities;
  /** Undefined if connections are not counted. */
  readonly counters: CounterReader | undefined;
  /** Undefined if the kernel does not tell when it cannot remember a client. */
  readonly fullFrontends: FullFrontendReader | undefined;
  /** Undefined if a Service consists of map elements, not of rules in chains. */
  readonly chains: ChainReader | undefined;
  readonly leftovers: LeftoverRules;
  /**
   * Tries every kernel feature that the rules need, in a scratch table or in scratch chains that
   * nothing leads to.
   * @throws SluiceError KERNEL_UNSUPPORTED naming what is missing; PERMISSION_DENIED, TOOL_FAILED
   */
  probe(): void | Promise<void>;
  /**
   * Creates the fixed rules or adopts existing ones. Elements in the kernel are passed to
   * `core.adopt`. If the kernel holds the text of rules instead, the first `apply` compares it and
   * writes only the differences.
   * @throws SluiceError TABLE_FOREIGN, NETLINK_REFUSED, PERMISSION_DENIED, TOOL_FAILED,
   * RULES_REFUSED
   */
  start(core: Core): Adoption | Promise<Adoption>;
  /**
   * Reports, until `close`, that another program touched our rules or may have. Reports at once if
   * that may have happened since `start` began to read. `verify` finds out what changed. Watch
   * after a large load, not before it: the kernel then announces every element, which makes a load
   * a third slower.
   * @throws SluiceError NETLINK_SOCKET
   */
  watch(changed: (change: ForeignChange) => void): void;
  /**
   * Checks the objects that other programs touched since the last call, and the objects in refused
   * transactions. Repairs drift, and applies the options of `reconfigure`.
   *
   * The committed state changes only for owners with elements that the kernel refuses
   * (`Drift.refused`). Resolves to undefined if nothing was touched, even if it applied the options
   * of `reconfigure`. It also does so before the first `apply` that compares or replaces all rules:
   * always in iptables, after the outcome `replaced` in nftables.
   * Other work runs between two large transactions, but nothing may be committed meanwhile.
   * @throws SluiceError TABLE_FOREIGN, NETLINK_SOCKET, NETLINK_REFUSED, TOOL_FAILED, RULES_REFUSED:
   * call it again
   */
  verify(core: Core): Promise<Drift | undefined>;
  /**
   * Sets the options for the next `start` or `verify`, which replaces the fixed rules and leaves
   * every element as it is. In nftables this is one transaction; in iptables each table of each
   * family is one. Returns false and changes nothing if elements would have to change, because
   * `counters` differs.
   */
  reconfigure(options: SkeletonOptions): boolean;
  /**
   * Applies all of the operations or none: after a failure nothing counts as committed. In nftables
   * this is one atomic transaction.
   *
   * In iptables each table of each family is one transaction. A packet may meet the new rules of
   * one table and the old ones of another. A failure may leave a part in the kernel. The backend
   * tracks that part, and the next `apply` or `verify` reverts it unless it is wanted by then.
   *
   * `operations` and `owners.serviceOf` may be used only until `apply` returns. While its promise
   * is pending, nothing is compared or committed.
   */
  apply(operations: OperationList, owners: OwnerLookup): ApplyResult | Promise<ApplyResult>;
  /** Resolves when all writes have ended. Later calls of `apply` fail. */
  close(): void | Promise<void>;
}
