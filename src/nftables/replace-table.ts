/**
 * Replaces a table with another layout, which another version of Sluice left. The table serves
 * until its successor is complete: one transaction deletes it and creates the new one with all
 * elements.
 */
import type { ApplyResult } from "../backend/backend.ts";
import { rethrowDefect } from "../base/errors.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { OwnerId } from "../model/owner.ts";
import { EMSGSIZE, ENOBUFS, ENOMEM } from "../os/posix.ts";
import { errnoOf, SystemError } from "../os/system-error.ts";
import type { TableKeeper } from "./repair/table-keeper.ts";
import { TABLE } from "./wire/object-names.ts";

export interface ReplacementOptions {
  readonly keeper: TableKeeper;
  /** Applies operations in one transaction, after the messages that `begin` writes. */
  readonly transact: (
    operations: OperationList,
    ownerName: (owner: OwnerId) => string,
    begin: () => void,
  ) => ApplyResult;
}

type Failure = Extract<ApplyResult, { readonly ok: false }>;

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
    let outcome: "fresh" | "replaced";
    try {
      keeper.applyPendingOptions();
      // Another program may have deleted the table since.
      outcome = keeper.findTable() === undefined ? "fresh" : "replaced";
    } catch (thrown) {
      rethrowDefect(thrown);
      return { ok: false, error: thrown, transient: true };
    }
    const receipt = transact(operations, ownerName, () => keeper.writeCreate(outcome));
    if (!receipt.ok) return this.#failure(receipt, operations.count);
    this.#setReplaced();
    try {
      keeper.created();
    } catch (thrown) {
      // Without its handles, the table counts as foreign. The next `verify` creates it again.
      rethrowDefect(thrown);
    }
    return receipt;
  }

  /**
   * Replaces the table by an empty one, because there is no element that the kernel accepts.
   * @throws SluiceError TABLE_FOREIGN, NETLINK_REFUSED, NETLINK_SOCKET
   */
  applyNothing(): void {
    const { keeper } = this.#options;
    keeper.applyPendingOptions();
    keeper.create(keeper.findTable() === undefined ? "fresh" : "replaced");
    this.#setReplaced();
  }

  #setReplaced(): void {
    this.#state = "none";
    this.#hasReplaced = true;
  }

  /**
   * The kernel compares an element only with the other elements of this transaction. So no refusal
   * is a sign of drift.
   */
  #failure(receipt: Failure, elements: number): Failure {
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
