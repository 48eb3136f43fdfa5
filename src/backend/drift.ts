/**
 * Describes drift: the kernel's contents differ from the committed state, because another program
 * changed our rules.
 */

import type { SluiceError } from "../base/errors.ts";
import type { OwnerId } from "../model/owner.ts";

/** Another program touched our rules. */
export interface ForeignChange {
  /** For the log: `chain services4, elements of frontends4` */
  readonly what: string;
  /** For the log: `nft (pid 123)` */
  readonly by: string;
  /**
   * A name for each touched object, to recognize repeated changes of the same object. Empty if
   * unknown.
   */
  readonly objects: readonly string[];
}

/**
 * Kinds of objects that can differ. "map" is a map that was emptied; a missing map counts as
 * "table".
 */
export type DriftObject = "table" | "chain" | "map" | "element";

/** The writes of a repair, in one or more transactions. */
export interface RepairWrites {
  readonly operations: number;
  /** Number of these operations that added an element. */
  readonly added: number;
  /** Bytes of netlink messages, or of text for iptables-restore. */
  readonly bytes: number;
  readonly transactions: number;
  readonly kernelMs: number;
}

/** The result of checking what another program touched. */
export interface Drift {
  /** The first change that was noticed, and the number of changes. */
  readonly change: Omit<ForeignChange, "objects">;
  readonly changes: number;
  /** Time when the first change was noticed, in monotonic ms. */
  readonly noticedAt: number;
  /** Number of repaired objects of each kind. Empty if nothing differed. */
  readonly driftedCounts: { readonly [kind in DriftObject]?: number };
  readonly written: RepairWrites;
  /**
   * Owners with an element that the kernel refused. Of their elements, only those in the kernel
   * count as committed now. They belong to OWNER_ADOPTED until the owners are programmed again.
   */
  readonly refused: readonly { readonly owner: OwnerId; readonly error: SluiceError }[];
}
