/** Restores what is committed in the kernel, where other processes changed it. */
import type { Receipt } from "../../backend/backend.ts";
import type { Drift } from "../../backend/drift.ts";
import { type Clock, turn } from "../../base/clock.ts";
import type { SluiceError } from "../../base/errors.ts";
import { BATCH_ELEMENTS } from "../../base/limits.ts";
import type { Core } from "../../core/core.ts";
import { countAdded, type OperationList } from "../../model/operation-list.ts";
import { isService, OWNER_ADOPTED, type OwnerId } from "../../model/owner.ts";
import type { Netlink } from "../../netlink/socket.ts";
import type { ReadTable } from "../read/read-objects.ts";
import { readTouched } from "./read-touched.ts";
import { onlyOf, ownersOf, releaseOwner } from "./refused-owner.ts";
import { countAnew, Restoration } from "./restore.ts";
import type { TableKeeper } from "./table-keeper.ts";
import type { Touched } from "./touched.ts";

export interface RepairOptions {
  readonly socket: Netlink;
  readonly clock: Clock;
  readonly keeper: TableKeeper;
  /** Another process added elements to this map of clients (session affinity). */
  readonly affinityTouched: (map: string) => void;
  /** Of one transaction. */
  readonly maxOperations: number;
  /** One transaction of elements, behind whatever `begin` writes. */
  readonly transact: (
    operations: OperationList,
    ownerName: (owner: OwnerId) => string,
    begin?: () => void,
  ) => Receipt;
}

/** What one repair found and wrote. */
export interface RepairResult extends Pick<Drift, "amiss" | "written"> {
  /** Why the repair is not complete. */
  readonly failed?: Extract<Receipt, { readonly ok: false }>;
}

type Written = { -readonly [field in keyof Drift["written"]]: number };

const INTACT = { state: "intact", chains: 0 } as const;

export class Repair {
  readonly #options: RepairOptions;

  /** Owners that a repair left out. What is committed for them has changed. */
  readonly #refused = new Map<OwnerId, SluiceError>();

  constructor(options: RepairOptions) {
    this.#options = options;
  }

  /** The owners that were left out since the last call. They must be programmed again. */
  takeRefused(): Drift["refused"] {
    const refused = [...this.#refused].map(([owner, error]) => ({ owner, error }));
    this.#refused.clear();
    return refused;
  }

  /** Reads what was touched, and restores what differs. */
  async run(core: Core, touched: Touched): Promise<RepairResult> {
    const { socket, clock, keeper, affinityTouched, maxOperations } = this.#options;
    keeper.takeUp();
    for (const map of touched.clients) affinityTouched(map);
    const restoration = new Restoration(core, Math.min(BATCH_ELEMENTS, maxOperations - 1));
    const table = keeper.find();
    const all = touched.chains || touched.everywhere || keeper.reconfigured;
    const known = table !== undefined && keeper.knows(table);
    const { state, chains } = known && all ? keeper.verify() : INTACT;
    if (!known || state === "replace") {
      restoration.everything();
      return { amiss: { table: 1 }, ...(await this.#remake(core, table, restoration.lists)) };
    }
    keeper.wake(table);
    if (state === "refill") keeper.refill();
    const states = await readTouched(socket, core, touched, () => turn(clock));
    const catchalls = states.filter(({ present }) => present.catchall).map(({ id }) => id);
    keeper.deleteCatchalls(catchalls);
    const differences = states.map((one) => restoration.difference(one));
    restoration.end();
    const map = differences.filter(({ emptied }) => emptied).length;
    const elements = differences.map(({ elements, emptied }) => (emptied ? 0 : elements));
    const element = elements.reduce((sum, count) => sum + count, catchalls.length);
    const counts = { table: Number(table.dormant), chain: chains, map, element };
    const amiss = Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
    return { amiss, ...(await this.#restore(core, restoration.lists)) };
  }

  /**
   * The table anew with all that is committed. The first of the lists is in the transaction that
   * makes it, so that no packet meets a table without elements if there is one list only.
   */
  async #remake(
    core: Core,
    table: ReadTable | undefined,
    lists: readonly OperationList[],
  ): Promise<Omit<RepairResult, "amiss">> {
    const { keeper, transact } = this.#options;
    const outcome = table === undefined ? "fresh" : "replaced";
    const [first, ...rest] = lists;
    if (first !== undefined) {
      const receipt = transact(first, nameIn(core), () => keeper.writeCreate(outcome));
      if (receipt.ok) {
        keeper.created();
        return this.#restore(core, rest, addTo(nothing(), core, first, receipt));
      }
    }
    // There is nothing, or it does not fit, or an element of it is refused: that is found out in a
    // table that is there.
    keeper.create(outcome);
    return this.#restore(core, lists);
  }

  async #restore(
    core: Core,
    lists: readonly OperationList[],
    written: Written = nothing(),
  ): Promise<Omit<RepairResult, "amiss">> {
    const { transact } = this.#options;
    const waiting = [...lists];
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const list = this.#refused.size === 0 ? next : onlyOf(next, (one) => !this.#refused.has(one));
      if (list.count === 0) continue;
      if (written.transactions > 0) await turn(this.#options.clock);
      const receipt = transact(list, nameIn(core));
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
   * What to go on with when this list was refused: the same, whose refused owner is left out from
   * now on, or halves if the kernel named nobody. Undefined if it is nobody's fault.
   */
  #withoutCulprit(
    core: Core,
    list: OperationList,
    receipt: Extract<Receipt, { readonly ok: false }>,
  ): readonly OperationList[] | undefined {
    const { transient, drifted, error } = receipt;
    if (transient || drifted === true || error.code !== "NETLINK_REFUSED") return undefined;
    const owners = ownersOf(list);
    const culprit = owners.length === 1 ? owners[0] : receipt.owner;
    if (culprit === undefined) {
      const first = new Set(owners.slice(0, owners.length >> 1));
      return [onlyOf(list, (one) => first.has(one)), onlyOf(list, (one) => !first.has(one))];
    }
    if (culprit === OWNER_ADOPTED || !owners.includes(culprit)) return undefined;
    releaseOwner(this.#options.socket, core, culprit);
    this.#refused.set(culprit, error);
    return [list];
  }
}

const nameIn = (core: Core) => (owner: OwnerId) => (isService(owner) ? core.serviceKey(owner) : "");

function nothing(): Written {
  return { operations: 0, added: 0, bytes: 0, transactions: 0, kernelMs: 0 };
}

/** The kernel took this list. */
function addTo(
  written: Written,
  core: Core,
  list: OperationList,
  receipt: Extract<Receipt, { readonly ok: true }>,
): Written {
  written.operations += list.count;
  written.added += countAdded(list.region);
  written.bytes += receipt.bytes;
  written.transactions++;
  written.kernelMs += receipt.kernelMs;
  countAnew(core, list);
  return written;
}
