/** Maintains the table, its maps and its chains: everything except the elements. */

import type { SkeletonOptions } from "../../backend/skeleton-options.ts";
import { SluiceError } from "../../base/errors.ts";
import type { TableId } from "../../model/tables.ts";
import { refusalError } from "../../netlink/netlink-errors.ts";
import type { Netlink } from "../../netlink/socket.ts";
import { compareTable, sameActions, type TableCondition } from "../read/compare-table.ts";
import { type ReadTable, readSets, readTable } from "../read/read-objects.ts";
import {
  isSluiceTable,
  tableComment,
  writeActivateTable,
  writeAllRules,
  writeDeleteCatchalls,
  writeDeleteTable,
  writeSkeleton,
} from "../ruleset/install.ts";
import { KnownActions } from "../ruleset/known-actions.ts";
import { Batch } from "../wire/message-batch.ts";
import { STAND_IN, TABLE } from "../wire/object-names.ts";
import { allSets } from "../wire/sets.ts";

interface Handles {
  readonly table: bigint | undefined;
  readonly sets: ReadonlyMap<string, bigint>;
}

export class TableKeeper {
  readonly batch = new Batch();
  readonly actions: KnownActions;
  readonly #socket: Netlink;
  #options: SkeletonOptions;
  #comment: string;
  #pending: SkeletonOptions | undefined;
  /** The kernel's chains still follow earlier options. */
  #reconfigured = false;
  /** Handles distinguish our table and maps from later ones with the same names. */
  #handles: Handles = { table: undefined, sets: new Map() };

  constructor(socket: Netlink, options: SkeletonOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#comment = tableComment(options);
    this.actions = new KnownActions(options.masqueradeBit);
  }

  get options(): SkeletonOptions {
    return this.#options;
  }

  get reconfigured(): boolean {
    return this.#reconfigured || this.#pending !== undefined;
  }

  /**
   * Stores the options for the next `applyPendingOptions`. Until then, chains keep following the
   * previous options.
   * @see Backend.reconfigure
   */
  reconfigure(options: SkeletonOptions): boolean {
    if (options.counters !== this.#options.counters) return false;
    this.#pending = options;
    return true;
  }

  /**
   * Makes the options of `reconfigure` current. The caller must rewrite all chains before it adds
   * any.
   */
  applyPendingOptions(): void {
    const options = this.#pending;
    if (options === undefined) return;
    this.#pending = undefined;
    this.#options = options;
    this.#comment = tableComment(options);
    this.actions.masqueradeBit = options.masqueradeBit;
    this.#reconfigured = true;
  }

  /**
   * Reads our table; undefined if there is none.
   * @throws SluiceError TABLE_FOREIGN
   */
  findTable(): ReadTable | undefined {
    const found = readTable(this.#socket);
    if (found === undefined || isSluiceTable(found.comment)) return found;
    throw new SluiceError(
      "TABLE_FOREIGN",
      `adopt table inet ${TABLE}: another program owns it: its comment is "${found.comment}" (delete the table if nothing needs it)`,
      `table inet ${TABLE}`,
    );
  }

  /** Checks by the comment whether the table has the maps that these options need. */
  hasSameMaps({ comment }: ReadTable): boolean {
    return comment === this.#comment;
  }

  /**
   * Checks that this is the table that Sluice created or adopted. A recreated table with the same
   * comment may have any contents.
   */
  isKnown(table: ReadTable): boolean {
    return this.hasSameMaps(table) && table.handle === this.#handles.table;
  }

  /** Records the handles of the current table and maps for `isKnown` and `verify`. */
  recordHandles(): void {
    const sets = [...readSets(this.#socket)].map(([name, { handle }]) => [name, handle] as const);
    this.#handles = { table: readTable(this.#socket)?.handle, sets: new Map(sets) };
  }

  /** Compares maps and chains with the expected ones. `chains`: number of chains that differ. */
  compare(): { readonly state: TableCondition; readonly chains: number } {
    return compareTable(this.#socket, this.#options, this.actions);
  }

  /**
   * Like `compare`, but also checks the elements of the maps of actions, and whether a map was
   * replaced by another one with the same name. Chains of earlier options do not count as
   * differences.
   */
  verify(): { readonly state: TableCondition; readonly chains: number } {
    const { state, chains } = this.compare();
    if (state === "replace" || !this.#hasKnownSets()) return { state: "replace", chains: 0 };
    const complete = state === "intact" && sameActions(this.#socket, this.actions);
    if (complete) {
      this.#reconfigured = false;
      return { state, chains };
    }
    return { state: "refill", chains: this.#reconfigured ? 0 : Math.max(1, chains) };
  }

  /** Creates the table without elements. `replaces`: deletes an existing one. */
  create(replaces: boolean): void {
    this.writeCreate({ replaces });
    this.send(`create table inet ${TABLE}`);
    this.created();
  }

  /**
   * Begins a transaction that creates a table. The caller may add elements to it. A dormant table
   * sees no packets before `activate`. Call `created` when our table serves.
   */
  writeCreate({ table = TABLE, replaces = false, dormant = false }): void {
    this.actions.reset();
    this.batch.begin(table);
    if (replaces) writeDeleteTable(this.batch);
    writeSkeleton(this.batch, this.#options, this.actions, dormant);
  }

  created(): void {
    this.#reconfigured = false;
    this.recordHandles();
  }

  /** Rewrites all chains and keeps the elements. */
  rewriteRules(): void {
    this.batch.begin();
    writeAllRules(this.batch, this.#options, this.actions);
    this.send(`rewrite the chains of table inet ${TABLE}`);
    this.actions.commit();
    this.#reconfigured = false;
  }

  /** Makes a dormant table see packets. */
  activate(table = TABLE): void {
    this.batch.begin(table);
    writeActivateTable(this.batch);
    this.send(`activate table inet ${table}`);
  }

  /**
   * Deletes the stand-in if there is one. Returns false if it belongs to another program.
   * @see TableReplacement
   */
  deleteStandIn(): boolean {
    const found = readTable(this.#socket, STAND_IN);
    if (found === undefined) return true;
    if (!isSluiceTable(found.comment)) return false;
    this.batch.begin(STAND_IN);
    writeDeleteTable(this.batch);
    this.send(`delete table inet ${STAND_IN}`);
    return true;
  }

  /** Deletes the catchall elements that other programs added to these tables. */
  deleteCatchalls(ids: readonly TableId[]): void {
    this.batch.begin();
    writeDeleteCatchalls(this.batch, ids);
    this.send(`delete foreign elements from table inet ${TABLE}`);
  }

  #hasKnownSets(): boolean {
    const found = readSets(this.#socket);
    const known = this.#handles.sets;
    return allSets(this.#options.counters).every(
      ({ name }) => found.get(name)?.handle === known.get(name),
    );
  }

  /**
   * Sends the batch.
   * @throws SluiceError NETLINK_REFUSED
   */
  send(what: string): void {
    const refusal = this.batch.send(this.#socket).refusals[0];
    if (refusal === undefined) return;
    throw refusalError(what, refusal);
  }
}
