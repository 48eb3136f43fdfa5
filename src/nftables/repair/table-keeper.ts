/** Keeps the table, its maps and its chains as they should be: everything but the elements. */

import type { SkeletonOptions } from "../../backend/skeleton-options.ts";
import { SluiceError } from "../../base/errors.ts";
import type { TableId } from "../../model/tables.ts";
import { refusalError } from "../../netlink/netlink-errors.ts";
import type { Netlink } from "../../netlink/socket.ts";
import { type Condition, condition, sameActions } from "../read/compare-table.ts";
import { type ReadTable, readSets, readTable } from "../read/read-objects.ts";
import {
  isOurs,
  tableComment,
  writeDeleteCatchalls,
  writeDeleteTable,
  writeRefill,
  writeSkeleton,
  writeWake,
} from "../ruleset/install.ts";
import { KnownActions } from "../ruleset/known-actions.ts";
import { Batch } from "../wire/message-batch.ts";
import { TABLE } from "../wire/object-names.ts";
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
  /** The kernel's chains are those of other options. */
  #reconfigured = false;
  /** By these the kernel tells apart what has the same name. */
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
   * @see Backend.reconfigure; what is under way goes on with the options that the kernel's chains
   * have.
   */
  reconfigure(options: SkeletonOptions): boolean {
    if (options.counters !== this.#options.counters) return false;
    this.#pending = options;
    return true;
  }

  /**
   * Chains that are written from now on are those of `reconfigure`: all others must be filled anew
   * before any is.
   */
  takeUp(): void {
    const options = this.#pending;
    if (options === undefined) return;
    this.#pending = undefined;
    this.#options = options;
    this.#comment = tableComment(options);
    this.actions.masqueradeBit = options.masqueradeBit;
    this.#reconfigured = true;
  }

  /**
   * What the kernel has under our name.
   * @throws SluiceError TABLE_FOREIGN
   */
  find(): ReadTable | undefined {
    const found = readTable(this.#socket);
    if (found === undefined || isOurs(found.comment)) return found;
    throw new SluiceError(
      "TABLE_FOREIGN",
      `Cannot take over table inet ${TABLE}: its comment must say that sluice made it: current value is "${found.comment}"`,
      `table inet ${TABLE}`,
    );
  }

  /** Has this table the maps that ours should have? */
  fits({ comment }: ReadTable): boolean {
    return comment === this.#comment;
  }

  /**
   * The table is the one that we made or adopted; another one with its comment may hold anything.
   */
  knows(table: ReadTable): boolean {
    return this.fits(table) && table.handle === this.#handles.table;
  }

  /** What is there now is what `knows` and `verify` are about. */
  remember(): void {
    const sets = [...readSets(this.#socket)].map(([name, { handle }]) => [name, handle] as const);
    this.#handles = { table: readTable(this.#socket)?.handle, sets: new Map(sets) };
  }

  /** How maps and chains are; `chains`: how many are not what they should be. */
  condition(): { readonly state: Condition; readonly chains: number } {
    return condition(this.#socket, this.#options, this.actions);
  }

  /**
   * The same, also of the maps of actions, whose elements we know, and whether a map was replaced
   * by one of its name. Chains of other options are nobody's doing.
   */
  verify(): { readonly state: Condition; readonly chains: number } {
    const { state, chains } = this.condition();
    if (state === "replace" || !this.#knowsSets()) return { state: "replace", chains: 0 };
    const whole = state === "intact" && sameActions(this.#socket, this.actions);
    if (whole) {
      this.#reconfigured = false;
      return { state, chains };
    }
    return { state: "refill", chains: this.#reconfigured ? 0 : Math.max(1, chains) };
  }

  /** Makes the table, in place of what is there. */
  create(outcome: "fresh" | "replaced"): void {
    this.writeCreate(outcome);
    this.send(`make table inet ${TABLE}`);
    this.created();
  }

  /**
   * Begins a transaction that does so, and may go on with elements; call `created` if it was taken.
   */
  writeCreate(outcome: "fresh" | "replaced"): void {
    this.actions.reset();
    this.batch.begin();
    if (outcome === "replaced") writeDeleteTable(this.batch);
    writeSkeleton(this.batch, this.#options, this.actions);
  }

  created(): void {
    this.#reconfigured = false;
    this.remember();
  }

  /** All chains anew; elements stay. */
  refill(): void {
    this.batch.begin();
    writeRefill(this.batch, this.#options, this.actions);
    this.send(`fill the chains of table inet ${TABLE}`);
    this.actions.commit();
    this.#reconfigured = false;
  }

  /** Packets pass the table again. */
  wake({ dormant }: ReadTable): void {
    if (!dormant) return;
    this.batch.begin();
    writeWake(this.batch);
    this.send(`wake table inet ${TABLE}`);
  }

  /** Deletes the elements without a key, which others added to these tables. */
  deleteCatchalls(ids: readonly TableId[]): void {
    this.batch.begin();
    writeDeleteCatchalls(this.batch, ids);
    this.send(`delete what others added to table inet ${TABLE}`);
  }

  #knowsSets(): boolean {
    const found = readSets(this.#socket);
    const known = this.#handles.sets;
    return allSets(this.#options.counters).every(
      ({ name }) => found.get(name)?.handle === known.get(name),
    );
  }

  /** Sends the batch. @throws SluiceError NETLINK_REFUSED */
  send(what: string): void {
    const refusal = this.batch.send(this.#socket).refusals[0];
    if (refusal === undefined) return;
    throw refusalError(what, refusal);
  }
}
