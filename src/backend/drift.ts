/** Drift: the kernel does not hold what was committed, because another program changed our rules. */

import type { SluiceError } from "../base/errors.ts";
import type { OwnerId } from "../model/owner.ts";

/** Another program touched our rules. */
export interface ForeignChange {
  /** For the log: `chain services, elements of frontends4` */
  readonly what: string;
  /** For the log: `nft (pid 123)` */
  readonly by: string;
  /**
   * A name for each object that was touched, by which repeated changes of the same object are
   * recognized. Empty if nobody knows.
   */
  readonly objects: readonly string[];
}

/** Kinds of objects that can differ. "map" is a map that was empty; one that is gone is a "table". */
export type DriftObject = "table" | "chain" | "map" | "element";

/** What a repair wrote, in one transaction or several. */
export interface Written {
  readonly operations: number;
  /** Operations among them that added an element. */
  readonly added: number;
  /** Bytes of netlink messages, or of text for iptables-restore. */
  readonly bytes: number;
  readonly transactions: number;
  readonly kernelMs: number;
}

/** The result of a look at what another program touched. */
export interface Drift {
  /** The first change that was noticed, and how many there were. */
  readonly change: Omit<ForeignChange, "objects">;
  readonly changes: number;
  /** When the first was noticed, monotonic ms. */
  readonly noticedAt: number;
  /** How many objects of each kind differed and were restored. Empty if nothing differed. */
  readonly amiss: { readonly [kind in DriftObject]?: number };
  /** What was written to restore elements. */
  readonly written: Written;
  /**
   * Owners for which the kernel refused an element. Of theirs, only what the kernel has is committed
   * now, and it belongs to OWNER_ADOPTED until they are programmed again.
   */
  readonly refused: readonly { readonly owner: OwnerId; readonly error: SluiceError }[];
}
