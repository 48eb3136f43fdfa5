/** Implements the nftables backend: one table `inet sluice`, programmed over netlink. */

import type { Adoption, ApplyResult, Backend, OwnerLookup } from "../backend/backend.ts";
import type { Capabilities } from "../backend/capabilities.ts";
import type { Drift, ForeignChange } from "../backend/drift.ts";
import type {
  CounterReader,
  CounterSink,
  FullFrontendReader,
  LeftoverRules,
} from "../backend/parts.ts";
import type { SkeletonOptions } from "../backend/skeleton-options.ts";
import { type Clock, systemClock, yieldToEventLoop } from "../base/clock.ts";
import { rethrowDefect } from "../base/errors.ts";
import { SYNC_COOLDOWN_MS_MAX } from "../base/limits.ts";
import type { Core } from "../core/core.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { OwnerId } from "../model/owner.ts";
import { hasRanges, tableFamily, tableLabel } from "../model/tables.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import type { Subscription } from "../netlink/event-socket.ts";
import { printRefusal, type Refusal } from "../netlink/netlink-errors.ts";
import { type Netlink, NetlinkSocket } from "../netlink/socket.ts";
import { EAGAIN, EEXIST, ENOENT } from "../os/posix.ts";
import { errnoOf, isTransient, systemError } from "../os/system-error.ts";
import { adoptElements } from "./adopt-table.ts";
import { probeFeatures } from "./probe-features.ts";
import { readActions } from "./read/compare-table.ts";
import { readCounters, readDeleted } from "./read/read-counters.ts";
import { readFullFrontends } from "./read/read-full-frontends.ts";
import { TableRepair } from "./repair/repair.ts";
import { TableKeeper } from "./repair/table-keeper.ts";
import { TouchedObjects } from "./repair/touched.ts";
import { type TouchListener, watchTable } from "./repair/watch-table.ts";
import { TableReplacement } from "./replace-table.ts";
import { ElementWriter, operationsIn, type RefusedElement } from "./wire/element-writer.ts";
import { TABLE } from "./wire/object-names.ts";
import { readGeneration } from "./wire/request.ts";
import { writeFlushMap } from "./wire/sets.ts";
import {
  eachAction,
  mapsToEmpty,
  OperationSorter,
  writeOperations,
} from "./wire/sort-operations.ts";

/**
 * Creates the backend and opens the netlink socket. Does not touch the kernel's tables yet.
 * @throws SluiceError NETLINK_SOCKET
 */
export function createNftablesBackend(
  options: SkeletonOptions,
  socket: Netlink = new NetlinkSocket(NETLINK_NETFILTER),
  clock: Clock = systemClock,
): NftablesBackend {
  return new NftablesBackend(options, socket, clock);
}

const WHAT = `table inet ${TABLE}`;
/** A repair that conflicts with another program this many times waits for the next sync. */
const ATTEMPTS = 3;

/** Netlink requests are synchronous: only methods that pause between portions return promises. */
export class NftablesBackend implements Backend {
  readonly mode = "nftables";
  readonly counters: CounterReader | undefined;
  readonly chains = undefined;
  readonly fullFrontends: FullFrontendReader = { read: () => readFullFrontends(this.#socket) };
  readonly leftovers: LeftoverRules = { remove: () => this.#removeLeftovers() };
  readonly #socket: Netlink;
  readonly #clock: Clock;
  readonly #keeper: TableKeeper;
  readonly #elements: ElementWriter;
  readonly #sorter = new OperationSorter();
  readonly #repair: TableRepair;
  readonly #replacement: TableReplacement;
  readonly #capabilities: Capabilities;
  /** Set by `start`. */
  #core: Core | undefined;
  #watch: Subscription | undefined;
  #countDeleted: CounterSink | undefined;
  #transactions = 0;
  /** Changes by other programs since the last `verify`. */
  #touched = new TouchedObjects();
  /** The kernel's generation counter and our number of commits when the table was last read. */
  #known = { generation: 0, commits: 0 };

  constructor(options: SkeletonOptions, socket: Netlink, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    this.#keeper = new TableKeeper(socket, options);
    this.#elements = new ElementWriter(this.#keeper.batch);
    const maxOperations = operationsIn(socket.maxBytes);
    this.#capabilities = nftablesCapabilities(maxOperations);
    this.counters = options.counters ? this.#counterReader() : undefined;
    this.#replacement = new TableReplacement({
      keeper: this.#keeper,
      transact: (...transaction) => this.#transact(...transaction),
    });
    this.#repair = new TableRepair({
      socket,
      clock,
      keeper: this.#keeper,
      maxOperations,
      transact: (...transaction) => this.#transact(...transaction),
    });
  }

  get capabilities(): Capabilities {
    if (!this.#replacement.needsEverything) return this.#capabilities;
    return { ...this.#capabilities, maxOperations: Infinity, singleTransaction: true };
  }

  probe(): void {
    probeFeatures(this.#socket, this.#keeper.batch, this.#keeper.options);
  }

  start(core: Core): Adoption {
    this.#core = core;
    const keeper = this.#keeper;
    const { batch, actions } = keeper;
    keeper.applyPendingOptions();
    this.#known = { generation: readGeneration(this.#socket), commits: batch.commits };
    this.#touched = new TouchedObjects();
    this.#replacement.setPending(false);
    const table = keeper.findTable();
    if (table === undefined) {
      keeper.create(false);
      return { outcome: "fresh", what: WHAT, elements: 0 };
    }
    if (!keeper.hasSameMaps(table)) return this.#replaceLater();
    const found = readActions(this.#socket);
    actions.reset(found.known);
    const { state } = keeper.compare();
    if (state === "replace") return this.#replaceLater();
    batch.begin();
    const { elements, catchalls } = adoptElements(this.#socket, core, (family, code) =>
      actions.ensure(batch, family, code),
    );
    if (state !== "intact" || !found.complete || batch.count > 0) keeper.rewriteRules();
    if (table.dormant) keeper.activate();
    keeper.deleteCatchalls(catchalls);
    keeper.recordHandles();
    return { outcome: "adopted", what: WHAT, elements };
  }

  watch(changed: (change: ForeignChange) => void): void {
    this.#watch?.close();
    const notice: TouchListener = (change, touched) => {
      this.#touched.addChange(touched, change, this.#clock.monotonic());
      changed(change);
    };
    this.#watch = watchTable(this.#socket.portId, this.#clock, notice);
    const { generation, commits } = this.#known;
    const foreign =
      ((readGeneration(this.#socket) - generation) >>> 0) - (this.#keeper.batch.commits - commits);
    if (foreign === 0) return;
    const touched = new TouchedObjects();
    touched.everything = true;
    const by = "unknown: Sluice did not watch the table yet";
    notice({ what: "unknown: any nftables table", by, objects: touched.objectNames() }, touched);
  }

  async verify(core: Core): Promise<Drift | undefined> {
    for (let attempt = 1; ; attempt++) {
      const touched = this.#touched;
      const { summary } = touched;
      // Options and elements of the old table do not matter until it is replaced.
      if (this.#replacement.isPending) return undefined;
      if (summary === undefined && !this.#keeper.reconfigured) return undefined;
      this.#touched = new TouchedObjects();
      const keepTouched = () => {
        touched.addLater(this.#touched);
        this.#touched = touched;
      };
      const { failed, ...found } = await this.#repair.run(core, touched).catch((thrown) => {
        keepTouched();
        throw thrown;
      });
      if (failed === undefined) {
        if (summary === undefined) return undefined;
        const { change, changes, at } = summary;
        return { change, changes, noticedAt: at, ...found, refused: this.#repair.takeRefused() };
      }
      // The element that caused the refusal is among the touched ones, so the next attempt repairs
      // it.
      keepTouched();
      if (failed.drifted !== true || attempt === ATTEMPTS) throw failed.error;
    }
  }

  reconfigure(options: SkeletonOptions): boolean {
    return this.#keeper.reconfigure(options);
  }

  apply(operations: OperationList, { nameOf }: Pick<OwnerLookup, "nameOf">): ApplyResult {
    if (operations.count === 0) return { ok: true, bytes: 0, kernelMs: 0 };
    if (this.#replacement.isPending) return this.#replace(operations, nameOf);
    return this.#transact(operations, nameOf);
  }

  #transact(
    operations: OperationList,
    ownerName: (owner: OwnerId) => string,
    begin = () => this.#keeper.batch.begin(),
  ): ApplyResult {
    const batch = this.#keeper.batch;
    begin();
    const offsets = this.#sorter.sort(operations);
    eachAction(operations, offsets, "add", (table, action) =>
      this.#keeper.actions.ensure(batch, tableFamily(table), action),
    );
    writeOperations(operations, offsets, this.#elements, ownerName);
    for (const map of mapsToEmpty(operations, offsets)) writeFlushMap(batch, map);
    this.#transactions++;
    this.#readDeleted(operations, offsets);
    const started = this.#clock.monotonic();
    try {
      const { refusals, acks } = batch.send(this.#socket);
      const refusal = refusals[0];
      if (refusal === undefined && acks > 0) {
        this.#keeper.actions.commit();
        const kernelMs = this.#clock.monotonic() - started;
        return { ok: true, bytes: batch.writer.length, kernelMs };
      }
      this.#keeper.actions.abort();
      return this.#failure(operations, refusal, ownerName);
    } catch (thrown) {
      this.#keeper.actions.abort();
      rethrowDefect(thrown);
      const transient = isTransient(errnoOf(thrown) ?? 0);
      return { ok: false, error: thrown, transient };
    }
  }

  close(): void {
    this.#watch?.close();
    this.#socket.close();
  }

  #counterReader(): CounterReader {
    return {
      read: async (each) => {
        const transactions = this.#transactions;
        if (this.#core !== undefined) {
          await readCounters(this.#socket, this.#core, each, () => yieldToEventLoop(this.#clock));
        }
        return transactions === this.#transactions;
      },
      onDelete: (each) => {
        this.#countDeleted = each;
      },
    };
  }

  /** The table serves until the first `apply` replaces it. */
  #replaceLater(): Adoption {
    this.#replacement.setPending(true);
    return { outcome: "replaced", what: WHAT, elements: 0 };
  }

  /** Replaces the table by one with these elements, and releases the memory that this took. */
  #replace(operations: OperationList, ownerName: (owner: OwnerId) => string): ApplyResult {
    const receipt = this.#replacement.apply(operations, ownerName);
    this.#keeper.batch.writer.release();
    return receipt;
  }

  /**
   * Replaces the table even if there was nothing to apply. The core never knew the elements of a
   * replaced table. Any connection may lead to an endpoint that left, so all are checked. An
   * earlier process may have left a stand-in.
   */
  async #removeLeftovers(): Promise<void> {
    if (this.#replacement.isPending) this.#replacement.applyNothing();
    this.#keeper.deleteStandIn();
    if (this.#replacement.hasReplaced) this.#core?.flows.recordAll();
  }

  /** If the counters cannot be read, their counts are lost. The change itself still goes ahead. */
  #readDeleted(operations: OperationList, offsets: Uint32Array): void {
    if (this.#countDeleted === undefined) return;
    try {
      readDeleted(this.#socket, operations, offsets, this.#countDeleted);
    } catch (thrown) {
      rethrowDefect(thrown);
    }
  }

  #failure(
    operations: OperationList,
    refusal: Refusal | undefined,
    ownerName: (owner: OwnerId) => string,
  ): ApplyResult {
    const fault = refusal && this.#elements.refusedElement(refusal);
    const owner = fault?.owner;
    const errno = refusal?.errno ?? EAGAIN;
    const name = owner === undefined ? "" : ownerName(owner);
    const what = name === "" ? `${operations.count} operations` : `elements of ${name}`;
    const error = systemError(
      `apply ${what} to table inet ${TABLE}`,
      errno,
      "NETLINK_REFUSED",
      refusal === undefined ? "no answer from the kernel (EAGAIN)" : printRefusal(refusal),
    );
    // The kernel named no element, so the container is missing: the table or one of its maps is
    // gone.
    const containerMissing =
      errno === ENOENT && fault === undefined && refusal?.offset !== undefined;
    const drifted = containerMissing || (fault !== undefined && isForeignChange(errno, fault));
    if (drifted) this.#suspect(operations, fault);
    const transient = isTransient(errno) || containerMissing;
    return { ok: false, error, transient, drifted, ...(owner === undefined ? {} : { owner }) };
  }

  /**
   * Marks everything in a refused transaction as touched. The kernel refused an element that it
   * should have taken, or its container if there is no `fault`. It reports only the first failure,
   * so `verify` checks all elements and the change is refused only once.
   */
  #suspect(operations: OperationList, fault: RefusedElement | undefined): void {
    const touched = new TouchedObjects();
    if (fault === undefined) touched.chains = true;
    else touched.addKey(fault.table, fault.key, 0, fault.key.length);
    for (const { table, key } of operations) touched.addKey(table, key, 0, key.length);
    const what = fault === undefined ? "the table" : `elements of ${tableLabel(fault.table)}`;
    const change = { what, by: "unknown: the kernel refused a change by Sluice", objects: [] };
    this.#touched.addChange(touched, change, this.#clock.monotonic());
  }
}

function nftablesCapabilities(maxOperations: number): Capabilities {
  return {
    ownRules: { form: "nftables", sharesKubeProxyChains: false },
    unserved: [],
    unsupported: [],
    maxOperations,
    singleTransaction: false,
    syncCooldownMsMax: SYNC_COOLDOWN_MS_MAX,
    opensHealthCheckPorts: false,
    affinityMaps: true,
    localhostNodePorts: false,
  };
}

/**
 * True if another program caused the refusal: a committed element is missing (ENOENT), or a foreign
 * element has the same key (EEXIST). For ranges, EEXIST can also mean that two of our own overlap,
 * which a repair cannot fix.
 */
function isForeignChange(errno: number, { table }: RefusedElement): boolean {
  return errno === ENOENT || (errno === EEXIST && !hasRanges(table));
}
