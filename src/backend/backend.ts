/**
 * The contract between the sync and a dataplane; nftables/ and iptables/ implement it. Operations
 * are about elements of the tables in model/tables.ts. How an element is represented in the kernel
 * is up to the backend: an element of a map, or rules in chains.
 */

import type { SluiceError } from "../base/errors.ts";
import type { Core } from "../core/core.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { OwnerId } from "../model/owner.ts";
import type { Service } from "../model/service.ts";
import type { Capabilities, Mode } from "./capabilities.ts";
import type { Drift, ForeignChange } from "./drift.ts";
import type { AffinityCleanup, ChainReader, CounterReader, LeftoverRules } from "./parts.ts";
import type { SkeletonOptions } from "./skeleton-options.ts";

/** The outcome of one `apply`. */
export type Receipt =
  | { readonly ok: true; readonly bytes: number; readonly kernelMs: number }
  | {
      readonly ok: false;
      readonly error: SluiceError;
      /** The owner of the element or rule that the kernel refused, if the error names it. */
      readonly owner?: OwnerId;
      /** A later retry may succeed (EINTR, ENOBUFS, a lost table). */
      readonly transient: boolean;
      /**
       * The kernel does not hold what was committed: another program deleted or added an element,
       * or the whole table. Every retry fails until `verify` has looked there.
       */
      readonly drifted?: boolean;
    };

/** What `start` found in the kernel. */
export interface Adoption {
  /**
   * - `fresh`: nothing.
   * - `adopted`: rules of an earlier process, which stay.
   * - `replaced`: a table of another layout, which is gone, or chains of a kube-proxy, which serve
   *   until the first `apply`.
   */
  readonly outcome: "fresh" | "adopted" | "replaced";
  /** For the log: `the table inet sluice`, `the chains of iptables-nft` */
  readonly what: string;
  /** How many were adopted: elements of maps, or chains. */
  readonly elements: number;
}

/** Who the owners of operations are. */
export interface OwnerLookup {
  /** `namespace/name`, or "" for the node. May be asked until the receipt is there. */
  readonly nameOf: (owner: OwnerId) => string;
  /**
   * The Service from which the operations were planned; undefined for the node, and if it is gone.
   */
  readonly serviceOf: (owner: OwnerId) => Service | undefined;
}

/** A dataplane. `probe` comes first, then `start`, and `close` last. */
export interface Backend {
  readonly mode: Mode;
  /** Valid from `probe` on. */
  readonly capabilities: Capabilities;
  /** Undefined: the kernel forgets clients together with the rules that remember them. */
  readonly affinity: AffinityCleanup | undefined;
  /** Undefined: connections are not counted. */
  readonly counters: CounterReader | undefined;
  /** Undefined: a Service is elements of maps, rather than rules in chains. */
  readonly chains: ChainReader | undefined;
  /**
   * Undefined: all leftovers are elements, which `start` hands to the core as those of
   * OWNER_ADOPTED.
   */
  readonly leftovers: LeftoverRules | undefined;
  /**
   * Tries every kernel feature that the rules need, in a scratch table or in scratch chains that
   * nothing leads to.
   * @throws SluiceError KERNEL_UNSUPPORTED naming what is missing; PERMISSION_DENIED, TOOL_FAILED
   */
  probe(): void | Promise<void>;
  /**
   * Creates the fixed rules, or adopts those that are there. Elements in the kernel are handed to
   * `core.adopt`. Where the kernel holds the text of rules instead, the first `apply` compares it
   * and writes only what differs.
   * @throws SluiceError TABLE_FOREIGN, NETLINK_REFUSED, PERMISSION_DENIED, TOOL_FAILED,
   * RULES_REFUSED
   */
  start(core: Core): Adoption | Promise<Adoption>;
  /**
   * Reports, until `close`, that somebody else touched our rules or may have done so; at once if
   * that may have happened since `start` began to read. `verify` finds out what it was. Watch after
   * a large load rather than before it: the kernel then announces every element, which makes a load
   * a third slower.
   * @throws SluiceError NETLINK_SOCKET
   */
  watch(changed: (change: ForeignChange) => void): void;
  /**
   * Looks in the kernel at what others touched since the last call, and at what refused a
   * transaction, and restores what is committed, which does not change. Also applies the options of
   * `reconfigure`. Resolves to undefined if nothing was touched. Other work runs between two large
   * transactions, but nothing may be committed meanwhile.
   * @throws SluiceError TABLE_FOREIGN, NETLINK_SOCKET, NETLINK_REFUSED, TOOL_FAILED, RULES_REFUSED:
   * call it again
   */
  verify(core: Core): Promise<Drift | undefined>;
  /**
   * The next `start` or `verify` replaces the fixed rules by those of these options, in one
   * transaction that leaves every element as it is. Returns false and changes nothing if elements
   * would have to change, because `counters` differs.
   */
  reconfigure(options: SkeletonOptions): boolean;
  /**
   * Applies all of the operations or none: after a failure nothing counts as committed. In nftables
   * this is one atomic transaction. In iptables each table of each family is one: a packet may meet
   * the new rules of one and the old ones of another, and a failure may leave a part in the kernel.
   * The backend knows that part, and the next `apply` or `verify` takes it back unless it is wanted
   * by then.
   *
   * `operations` and `owners.serviceOf` may be used only until `apply` returns. While its promise
   * is pending, nothing is compared or committed.
   */
  apply(operations: OperationList, owners: OwnerLookup): Receipt | Promise<Receipt>;
  /** Resolves when nothing is being written any more; later calls of `apply` fail. */
  close(): void | Promise<void>;
}
