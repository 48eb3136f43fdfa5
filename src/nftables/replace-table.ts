/**
 * Replaces a table with another layout, which another version of Sluice left, by one with all
 * elements. Every new connection is served meanwhile:
 *
 * 1. One transaction creates a stand-in, with the new layout and another name. The old table
 *    serves.
 * 2. One transaction deletes the old table and creates its successor. The stand-in serves.
 * 3. The stand-in is deleted.
 *
 * Deleting and creating at once would not suffice. A packet that is in the old table at that moment
 * finds no more elements in it. It has already passed the place of the new one.
 *
 * New tables are dormant until their transaction has ended. The kernel puts concatenated ranges in
 * force last.
 */
import type { ApplyResult } from "../backend/backend.ts";
import { rethrowDefect } from "../base/errors.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { OwnerId } from "../model/owner.ts";
import { EMSGSIZE, ENOBUFS, ENOMEM } from "../os/posix.ts";
import { errnoOf, SystemError } from "../os/system-error.ts";
import type { TableKeeper } from "./repair/table-keeper.ts";
import { STAND_IN, TABLE } from "./wire/object-names.ts";

export interface ReplacementOptions {
  readonly keeper: TableKeeper;
  /** Applies operations in one transaction, after the messages that `begin` writes. */
  readonly transact: (
    operations: OperationList,
    ownerName: (owner: OwnerId) => string,
    begin: () => void,
  ) => ApplyResult;
}

type RefusedReplacement = Extract<ApplyResult, { readonly ok: false }>;

/** The kernel cannot take a transaction of this size. */
const TOO_LARGE: ReadonlySet<number> = new Set([EMSGSIZE, ENOBUFS, ENOMEM]);

export class TableReplacement {
  readonly #options: ReplacementOptions;
  /**
   * `whole`: the next transaction replaces the table and must hold all elements. `in parts`: that
   * was too large, so the next transaction replaces the table, and others add more elements.
   */
  #state: "none" | "whole" | "in parts" = "none";
  #hasReplaced = false;

  constructor(options: ReplacementOptions) {
    this.#options = options;
  }

  /** The table in the kernel has another layout. */
  get isPending(): boolean {
    return this.#state !== "none";
  }

  /** The next transaction must hold all elements. */
  get needsEverything(): boolean {
    return this.#state === "whole";
  }

  get hasReplaced(): boolean {
    return this.#hasReplaced;
  }

  /** Call it when the layout of the table in the kernel has been read. */
  setPending(pending: boolean): void {
    this.#state = pending ? "whole" : "none";
    this.#hasReplaced = false;
  }

  /** Replaces the table by one with these elements. */
  apply(operations: OperationList, ownerName: (owner: OwnerId) => string): ApplyResult {
    const { keeper, transact } = this.#options;
    try {
      keeper.applyPendingOptions();
      // Another program may have deleted the table since.
      const isThere = keeper.findTable() !== undefined;
      if (isThere && this.#state === "whole" && keeper.deleteStandIn()) {
        const standsIn = transact(operations, ownerName, () =>
          keeper.writeCreate({ table: STAND_IN, dormant: true }),
        );
        if (!standsIn.ok) return this.#failure(standsIn, operations.count);
        keeper.activate(STAND_IN);
      }
      const receipt = transact(operations, ownerName, () =>
        keeper.writeCreate({ replaces: isThere, dormant: true }),
      );
      if (!receipt.ok) return this.#failure(receipt, operations.count);
      keeper.activate();
      this.#setReplaced();
      this.#settle();
      return receipt;
    } catch (thrown) {
      rethrowDefect(thrown);
      return { ok: false, error: thrown, transient: true };
    }
  }

  /**
   * Replaces the table by an empty one, because there is no element that the kernel accepts.
   * @throws SluiceError TABLE_FOREIGN, NETLINK_REFUSED, NETLINK_SOCKET
   */
  applyNothing(): void {
    const { keeper } = this.#options;
    keeper.applyPendingOptions();
    keeper.create(keeper.findTable() !== undefined);
    this.#setReplaced();
  }

  /** The table is complete, whatever fails now. */
  #settle(): void {
    const { keeper } = this.#options;
    try {
      // Without its handles, the table counts as foreign. The next `verify` creates it again.
      keeper.created();
      // If the stand-in stays, it is removed with the leftovers.
      keeper.deleteStandIn();
    } catch (thrown) {
      rethrowDefect(thrown);
    }
  }

  #setReplaced(): void {
    this.#state = "none";
    this.#hasReplaced = true;
  }

  /**
   * The kernel compares an element only with the other elements of this transaction. So no refusal
   * is a sign of drift.
   */
  #failure(receipt: RefusedReplacement, elements: number): RefusedReplacement {
    const errno = errnoOf(receipt.error) ?? 0;
    if (this.#state !== "whole" || !TOO_LARGE.has(errno)) return { ...receipt, drifted: false };
    this.#state = "in parts";
    const what = `replace table inet ${TABLE} with its ${elements} elements at once`;
    const next = "the next attempt adds most elements later, so connections may fail meanwhile";
    const message = `${what}: ${receipt.error.message} (${next})`;
    return {
      ok: false,
      error: new SystemError(receipt.error.code, message, errno),
      transient: true,
    };
  }
}
