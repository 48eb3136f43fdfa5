/** The nftables backend: one table `inet sluice`, programmed over netlink. */
import { type Clock, systemClock } from "../../clock.ts";
import type { Core, OperationList } from "../../core/core.ts";
import { SluiceError } from "../../errors.ts";
import { type TableId, tableFamily, tableKind, tableLabel } from "../../plan/tables.ts";
import type {
  Adoption,
  Backend,
  CounterSink,
  Drift,
  ForeignChange,
  Receipt,
  SkeletonOptions,
} from "../backend.ts";
import { EAGAIN, EEXIST, ENOENT, NETLINK_NETFILTER } from "../netlink/constants.ts";
import {
  errnoOf,
  isTransient,
  printRefusal,
  type Refusal,
  systemError,
} from "../netlink/errors.ts";
import type { Subscription } from "../netlink/events.ts";
import { type Netlink, NetlinkSocket } from "../netlink/socket.ts";
import { KnownActions } from "./actions.ts";
import { adoptElements, type Condition, condition, knowsActions, readActions } from "./adopt.ts";
import { OutdatedClients } from "./affinity.ts";
import { Batch } from "./batch.ts";
import { readCounters, readDeleted } from "./counters.ts";
import { ElementWriter, type Fault, operationsIn } from "./elements.ts";
import {
  isOurs,
  tableComment,
  writeDeleteTable,
  writeRefill,
  writeSkeleton,
  writeWake,
} from "./install.ts";
import { TABLE } from "./names.ts";
import { eachAction, OperationSorter, writeOperations } from "./operations.ts";
import { probe } from "./probe.ts";
import { type ReadTable, readGeneration, readTable } from "./read.ts";
import { Touched } from "./touched.ts";
import { forgetAll, readTouched, settle, writeDeleteCatchalls } from "./verify.ts";
import { type TouchListener, watchTable } from "./watch.ts";

/**
 * Opens the netlink socket; touches nothing yet.
 * @throws SluiceError NETLINK_SOCKET
 */
export function createNftablesBackend(
  options: SkeletonOptions,
  socket: Netlink = new NetlinkSocket(NETLINK_NETFILTER),
  clock: Clock = systemClock,
): Backend {
  return new NftablesBackend(options, socket, clock);
}

class NftablesBackend implements Backend {
  readonly maxOperations: number;
  #options: SkeletonOptions;
  /** The kernel's chains are those of other options. */
  #reconfigured = false;
  readonly #socket: Netlink;
  readonly #clock: Clock;
  readonly #batch = new Batch();
  readonly #elements = new ElementWriter(this.#batch);
  readonly #sorter = new OperationSorter();
  readonly #actions: KnownActions;
  readonly #outdated = new OutdatedClients();
  /** Since `start`. */
  #core: Core | undefined;
  #watch: Subscription | undefined;
  #countDeleted: CounterSink | undefined;
  #transactions = 0;
  /** Since the last `verify`. */
  #touched = new Touched();
  /** The kernel's count of transactions when we last began to read it, and our own at that time. */
  #known = { generation: 0, commits: 0 };

  constructor(options: SkeletonOptions, socket: Netlink, clock: Clock) {
    this.#options = options;
    this.#socket = socket;
    this.#clock = clock;
    this.#actions = new KnownActions(options.masqueradeBit);
    this.maxOperations = operationsIn(socket.maxBytes);
  }

  probe(): void {
    probe(this.#socket, this.#batch, this.#options);
  }

  start(core: Core): Adoption {
    this.#core = core;
    this.#known = { generation: readGeneration(this.#socket), commits: this.#batch.commits };
    this.#outdated.all();
    this.#touched = new Touched();
    const found = this.#readTable();
    if (found === undefined) return this.#create("fresh");
    if (found.comment !== tableComment(this.#options)) return this.#create("replaced");
    const actions = readActions(this.#socket);
    this.#actions.reset(actions.known);
    const { state } = condition(this.#socket, this.#options, this.#actions);
    if (state === "replace") return this.#create("replaced");
    this.#batch.begin();
    const { elements, catchalls } = adoptElements(this.#socket, core, (family, code) =>
      this.#actions.need(this.#batch, family, code),
    );
    if (state !== "intact" || !actions.whole || this.#batch.count > 0) this.#refill();
    this.#actions.commit();
    this.#reconfigured = false;
    this.#wake(found);
    this.#deleteCatchalls(catchalls);
    return { outcome: "adopted", elements };
  }

  watch(changed: (change: ForeignChange) => void): void {
    this.#watch?.close();
    const notice: TouchListener = (change, touched) => {
      this.#touched.take(touched, change, this.#clock.monotonic());
      changed(change);
    };
    this.#watch = watchTable(this.#socket.portId, this.#clock, notice);
    const { generation, commits } = this.#known;
    const foreign =
      ((readGeneration(this.#socket) - generation) >>> 0) - (this.#batch.commits - commits);
    if (foreign === 0) return;
    const touched = new Touched();
    touched.everything = true;
    const by = "somebody, before it was watched";
    notice({ what: "some table", by, objects: touched.named() }, touched);
  }

  verify(core: Core): Drift | undefined {
    const touched = this.#touched;
    const { story } = touched;
    if (story === undefined && !this.#reconfigured) return undefined;
    for (const map of touched.clients) this.#outdated.touched(map);
    const found = this.#mend(core, touched);
    this.#touched = new Touched();
    this.#reconfigured = false;
    if (story === undefined) return undefined;
    const { change, changes, at } = story;
    return { change, changes, noticedAt: at, ...found };
  }

  reconfigure(options: SkeletonOptions): boolean {
    if (options.counters !== this.#options.counters) return false;
    this.#options = options;
    this.#actions.masqueradeBit = options.masqueradeBit;
    this.#reconfigured = true;
    return true;
  }

  apply(operations: OperationList, ownerName: (owner: number) => string): Receipt {
    if (operations.count === 0) return { ok: true, bytes: 0, kernelMs: 0 };
    const batch = this.#batch;
    batch.begin();
    const offsets = this.#sorter.sort(operations);
    eachAction(operations, offsets, (table, action) =>
      this.#actions.need(batch, tableFamily(table), action),
    );
    writeOperations(operations, offsets, this.#elements, ownerName);
    this.#transactions++;
    if (this.#core) this.#outdated.add(operations, offsets, this.#core);
    this.#readDeleted(operations, offsets);
    const started = this.#clock.monotonic();
    try {
      const { refusals, acks } = batch.send(this.#socket);
      const refusal = refusals[0];
      if (refusal === undefined && acks > 0) {
        this.#actions.commit();
        const kernelMs = this.#clock.monotonic() - started;
        return { ok: true, bytes: batch.writer.length, kernelMs };
      }
      this.#actions.abort();
      return this.#failure(operations, refusal, ownerName);
    } catch (thrown) {
      this.#actions.abort();
      if (!(thrown instanceof SluiceError)) throw thrown;
      const transient = isTransient(errnoOf(thrown) ?? 0);
      return { ok: false, error: thrown, transient };
    }
  }

  remembersOutdated(): boolean {
    return this.#outdated.any;
  }

  forgetAffinity(core: Core): number {
    return this.#outdated.forget(this.#socket, this.#batch, core);
  }

  async readCounters(each: CounterSink): Promise<boolean> {
    const transactions = this.#transactions;
    const rest = () => new Promise<void>((resolve) => this.#clock.soon(resolve));
    if (this.#options.counters && this.#core !== undefined) {
      await readCounters(this.#socket, this.#core, each, rest);
    }
    return transactions === this.#transactions;
  }

  countDeleted(each: CounterSink): void {
    if (this.#options.counters) this.#countDeleted = each;
  }

  cleanup(): ReturnType<Backend["cleanup"]> {
    const found = readTable(this.#socket);
    if (found === undefined) return "absent";
    if (!isOurs(found.comment)) return "foreign";
    this.#batch.begin();
    writeDeleteTable(this.#batch);
    this.#send(`delete table inet ${TABLE}`);
    return "removed";
  }

  close(): void {
    this.#watch?.close();
    this.#socket.close();
  }

  /** @throws SluiceError TABLE_FOREIGN */
  #readTable(): ReadTable | undefined {
    const found = readTable(this.#socket);
    if (found === undefined || isOurs(found.comment)) return found;
    throw new SluiceError(
      "TABLE_FOREIGN",
      `Cannot take over table inet ${TABLE}: its comment must say that sluice made it: current value is "${found.comment}"`,
      `table inet ${TABLE}`,
    );
  }

  /** Looks where something was touched. The core hears of it last, when nothing can fail any more. */
  #mend(core: Core, touched: Touched): Pick<Drift, "amiss" | "owners"> {
    const table = this.#readTable();
    const chains = touched.chains || touched.everything || this.#reconfigured;
    let state: Condition = "intact";
    let wrongChains = 0;
    if (touched.gone || table?.comment !== tableComment(this.#options)) state = "replace";
    else if (chains) {
      const found = condition(this.#socket, this.#options, this.#actions);
      const whole = found.state !== "intact" || knowsActions(this.#socket, this.#actions);
      state = whole ? found.state : "refill";
      wrongChains = Math.max(found.chains, Number(state === "refill"));
    }
    if (table === undefined || state === "replace") {
      this.#create(table === undefined ? "fresh" : "replaced");
      this.#outdated.all();
      forgetAll(core);
      return { amiss: { table: 1 }, owners: "all" };
    }
    const findings = readTouched(this.#socket, core, touched);
    this.#wake(table);
    if (state === "refill") this.#refill();
    const catchalls = findings.filter(({ present }) => present.catchall).map(({ id }) => id);
    this.#deleteCatchalls(catchalls);
    const owners = new Set<number>();
    const settled = findings.map((finding) => settle(core, finding, owners));
    const emptied = settled.filter((one) => one.emptied).length;
    let elements = catchalls.length;
    for (const one of settled) if (!one.emptied) elements += one.elements;
    const amiss = {
      ...(table.dormant && { table: 1 }),
      ...(wrongChains > 0 && !this.#reconfigured && { chain: wrongChains }),
      ...(emptied > 0 && { map: emptied }),
      ...(elements > 0 && { element: elements }),
    };
    return { amiss, owners };
  }

  #refill(): void {
    this.#batch.begin();
    writeRefill(this.#batch, this.#options, this.#actions);
    this.#send(`fill the chains of table inet ${TABLE}`);
  }

  #wake({ dormant }: ReadTable): void {
    if (!dormant) return;
    this.#batch.begin();
    writeWake(this.#batch);
    this.#send(`wake table inet ${TABLE}`);
  }

  #deleteCatchalls(ids: readonly TableId[]): void {
    this.#batch.begin();
    writeDeleteCatchalls(this.#batch, ids);
    this.#send(`delete what others added to table inet ${TABLE}`);
  }

  #create(outcome: "fresh" | "replaced"): Adoption {
    this.#actions.reset();
    this.#batch.begin();
    if (outcome === "replaced") writeDeleteTable(this.#batch);
    writeSkeleton(this.#batch, this.#options, this.#actions);
    this.#send(`make table inet ${TABLE}`);
    return { outcome, elements: 0 };
  }

  /** What cannot be read is lost to the sums, and no reason to keep a change from the kernel. */
  #readDeleted(operations: OperationList, offsets: Uint32Array): void {
    if (this.#countDeleted === undefined) return;
    try {
      readDeleted(this.#socket, operations, offsets, this.#countDeleted);
    } catch (thrown) {
      if (!(thrown instanceof SluiceError)) throw thrown;
    }
  }

  #send(what: string): void {
    const refusal = this.#batch.send(this.#socket).refusals[0];
    if (refusal === undefined) return;
    throw systemError(what, refusal.errno, "NETLINK_REFUSED", printRefusal(refusal));
  }

  #failure(
    operations: OperationList,
    refusal: Refusal | undefined,
    ownerName: (owner: number) => string,
  ): Receipt {
    const fault = refusal && this.#elements.faultOf(refusal);
    const owner = fault?.owner;
    const errno = refusal?.errno ?? EAGAIN;
    const name = owner === undefined ? "" : ownerName(owner);
    const error = systemError(
      `apply ${name === "" ? `${operations.count} operations` : `the elements of ${name}`} to table inet ${TABLE}`,
      errno,
      "NETLINK_REFUSED",
      refusal && printRefusal(refusal),
    );
    // Not an element at fault but what it is in: the table or one of its maps is gone.
    const lost = errno === ENOENT && fault === undefined && refusal?.offset !== undefined;
    const drifted = lost || (fault !== undefined && wasOurs(errno, fault));
    if (drifted) this.#suspect(operations, fault);
    const transient = isTransient(errno) || lost;
    return { ok: false, error, transient, drifted, ...(owner === undefined ? {} : { owner }) };
  }

  /**
   * The kernel refused an element that it should have taken; or what elements are in, if no `fault` is named. It stops
   * at the first: whatever was to be changed is looked at, so that it is refused only once.
   */
  #suspect(operations: OperationList, fault: Fault | undefined): void {
    const touched = new Touched();
    if (fault === undefined) touched.chains = true;
    else touched.key(fault.table, fault.key, 0, fault.key.length);
    for (const { table, key } of operations) touched.key(table, key, 0, key.length);
    const what = fault === undefined ? "the table" : `elements of ${tableLabel(fault.table)}`;
    const change = { what, by: "unknown: a change of ours was refused", objects: [] };
    this.#touched.take(touched, change, this.#clock.monotonic());
  }
}

/**
 * An element that we had committed is gone, or one of its key is there that we had not. Of a range, EEXIST
 * may as well say that two of ours overlap, which reading again would not mend.
 */
function wasOurs(errno: number, { table }: Fault): boolean {
  const ranges = tableKind(table).key.some((field) => field === "range");
  return errno === ENOENT || (errno === EEXIST && !ranges);
}
