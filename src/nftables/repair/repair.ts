/**
 * Repairs drift that other programs caused: elements here, the table with its chains and rules in
 * table-keeper.ts.
 */
import type { ApplyResult } from "../../backend/backend.ts";
import type { Drift } from "../../backend/drift.ts";
import { type Clock, yieldToEventLoop } from "../../base/clock.ts";
import type { SluiceError } from "../../base/errors.ts";
import { BATCH_ELEMENTS } from "../../base/limits.ts";
import type { Core } from "../../core/core.ts";
import { countAdded, type OperationList } from "../../model/operation-list.ts";
import { isServiceOwner, OWNER_ADOPTED, type OwnerId } from "../../model/owner.ts";
import type { Netlink } from "../../netlink/socket.ts";
import type { ReadTable } from "../read/read-objects.ts";
import { readTouched } from "./read-touched.ts";
import { operationsOf, ownersOf, releaseOwner } from "./release-owner.ts";
import { RepairOperations, resetCounters } from "./repair-operations.ts";
import type { TableKeeper } from "./table-keeper.ts";
import type { TouchedObjects } from "./touched.ts";

export interface RepairOptions {
  readonly socket: Netlink;
  readonly clock: Clock;
  readonly keeper: TableKeeper;
  /** Limit per transaction. */
  readonly maxOperations: number;
  /** Applies operations in one transaction, after the messages that `begin` writes. */
  readonly transact: (
    operations: OperationList,
    ownerName: (owner: OwnerId) => string,
    begin?: () => void,
  ) => ApplyResult;
}

/** The findings and writes of a repair. */
export interface TableRepairResult extends Pick<Drift, "driftedCounts" | "written"> {
  /** The failure, if the repair is incomplete. */
  readonly failed?: Extract<ApplyResult, { readonly ok: false }>;
}

type WriteTotals = { -readonly [field in keyof Drift["written"]]: number };

const INTACT = { state: "intact", chains: 0 } as const;

export class TableRepair {
  readonly #options: RepairOptions;

  /** Owners that a repair left out. Their committed elements have changed. */
  readonly #refused = new Map<OwnerId, SluiceError>();

  constructor(options: RepairOptions) {
    this.#options = options;
  }

  /** Returns the owners that were left out since the last call. They must be programmed again. */
  takeRefused(): Drift["refused"] {
    const refused = [...this.#refused].map(([owner, error]) => ({ owner, error }));
    this.#refused.clear();
    return refused;
  }

  /** Reads the touched objects and repairs those that differ. */
  async run(core: Core, touched: TouchedObjects): Promise<TableRepairResult> {
    const { socket, clock, keeper, maxOperations } = this.#options;
    keeper.applyPendingOptions();
    const restoration = new RepairOperations(core, Math.min(BATCH_ELEMENTS, maxOperations - 1));
    const table = keeper.findTable();
    const all = touched.chains || touched.anythingMayDiffer || keeper.reconfigured;
    const known = table !== undefined && keeper.isKnown(table);
    const { state, chains } = known && all ? keeper.verify() : INTACT;
    if (!known || state === "replace") {
      restoration.addAll();
      return {
        driftedCounts: { table: 1 },
        ...(await this.#recreate(core, table, restoration.lists)),
      };
    }
    if (table.dormant) keeper.activate();
    if (state === "refill") keeper.rewriteRules();
    const states = await readTouched(socket, core, touched, () => yieldToEventLoop(clock));
    const catchalls = states.filter(({ present }) => present.catchall).map(({ id }) => id);
    keeper.deleteCatchalls(catchalls);
    const differences = states.map((one) => restoration.addDifferences(one));
    restoration.endList();
    const map = differences.filter(({ emptied }) => emptied).length;
    const elements = differences.map(({ elements, emptied }) => (emptied ? 0 : elements));
    const element = elements.reduce((sum, count) => sum + count, catchalls.length);
    const counts = { table: Number(table.dormant), chain: chains, map, element };
    const driftedCounts = Object.fromEntries(
      Object.entries(counts).filter(([, count]) => count > 0),
    );
    return { driftedCounts, ...(await this.#restore(core, restoration.lists)) };
  }

  /**
   * Recreates the table with all committed elements. The first list goes into the transaction that
   * creates the table. If there is only one list, packets never meet a table without elements.
   */
  async #recreate(
    core: Core,
    table: ReadTable | undefined,
    lists: readonly OperationList[],
  ): Promise<Omit<TableRepairResult, "driftedCounts">> {
    const { keeper, transact } = this.#options;
    const replaces = table !== undefined;
    const [first, ...rest] = lists;
    if (first !== undefined) {
      const receipt = transact(first, ownerNameIn(core), () => keeper.writeCreate({ replaces }));
      if (receipt.ok) {
        keeper.created();
        return this.#restore(core, rest, addTo(noWrites(), core, first, receipt));
      }
    }
    // Either there are no elements, or the first list failed: it is too large, or the kernel
    // refused an element. With the table in place, `#restore` can find out which.
    keeper.create(replaces);
    return this.#restore(core, lists);
  }

  async #restore(
    core: Core,
    lists: readonly OperationList[],
    written: WriteTotals = noWrites(),
  ): Promise<Omit<TableRepairResult, "driftedCounts">> {
    const { transact } = this.#options;
    const waiting = [...lists];
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const list =
        this.#refused.size === 0 ? next : operationsOf(next, (one) => !this.#refused.has(one));
      if (list.count === 0) continue;
      if (written.transactions > 0) await yieldToEventLoop(this.#options.clock);
      const receipt = transact(list, ownerNameIn(core));
      if (receipt.ok) addTo(written, core, list, receipt);
      else {
        const parts = this.#withoutCulprit(core, list, receipt);
        if (parts === undefined) return { written, failed: receipt };
        waiting.unshift(...parts);
      }
    }
    return { written };
  }

  /**
   * Decides how to continue after the kernel refused this list.
   * - Known owner: leaves it out from now on and returns the same list.
   * - Unknown owner: returns the two halves of the list.
   * - No owner at fault: returns undefined.
   */
  #withoutCulprit(
    core: Core,
    list: OperationList,
    receipt: Extract<ApplyResult, { readonly ok: false }>,
  ): readonly OperationList[] | undefined {
    const { transient, drifted, error } = receipt;
    if (transient || drifted === true || error.code !== "NETLINK_REFUSED") return undefined;
    const owners = ownersOf(list);
    const culprit = owners.length === 1 ? owners[0] : receipt.owner;
    if (culprit === undefined) {
      const first = new Set(owners.slice(0, owners.length >> 1));
      return [
        operationsOf(list, (one) => first.has(one)),
        operationsOf(list, (one) => !first.has(one)),
      ];
    }
    if (culprit === OWNER_ADOPTED || !owners.includes(culprit)) return undefined;
    releaseOwner(this.#options.socket, core, culprit);
    this.#refused.set(culprit, error);
    return [list];
  }
}

const ownerNameIn = (core: Core) => (owner: OwnerId) =>
  isServiceOwner(owner) ? core.serviceKey(owner) : "";

function noWrites(): WriteTotals {
  return { operations: 0, added: 0, bytes: 0, transactions: 0, kernelMs: 0 };
}

/** Adds a list that the kernel accepted to the totals. */
function addTo(
  written: WriteTotals,
  core: Core,
  list: OperationList,
  receipt: Extract<ApplyResult, { readonly ok: true }>,
): WriteTotals {
  written.operations += list.count;
  written.added += countAdded(list.region);
  written.bytes += receipt.bytes;
  written.transactions++;
  written.kernelMs += receipt.kernelMs;
  resetCounters(core, list);
  return written;
}
