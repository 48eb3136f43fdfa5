/**
 * Runs one sync: takes every change from the core's dirty list and writes it to the kernel. The
 * pacer (pacer.ts) decides when a sync runs.
 */
import type { Backend } from "../backend/backend.ts";
import type { Drift } from "../backend/drift.ts";
import { type Clock, yieldToEventLoop } from "../base/clock.ts";
import { rethrowDefect, type SluiceError } from "../base/errors.ts";
import { BATCH_SERVICES, TRIGGER_TIMES_MAX } from "../base/limits.ts";
import type { Core } from "../core/core.ts";
import { isServiceOwner, OWNER_ADOPTED, OWNER_NODE, type OwnerId } from "../model/owner.ts";
import type { ServiceId } from "../model/service.ts";
import type { PlanContext } from "../plan/plan.ts";
import type { ProblemEnd, ReportProblems } from "../problems/problem.ts";
import type { FrontendClaims } from "../state/claims.ts";
import { type ExpandedService, expandService } from "../state/frontends.ts";
import { type BatchOutcome, BatchProgrammer, emptyOutcome, type Selected } from "./programmer.ts";
import { RefusedRetries } from "./refused-retries.ts";
import type { RepairReport } from "./repair-log.ts";

/** The result of one sync, for metrics, health and the log. */
export interface SyncReport {
  readonly outcome: "done" | "nothing" | "refused" | "failed";
  /**
   * Counts: owners processed, operations that the kernel accepted, operations among them that added
   * an element, netlink bytes, and transactions.
   */
  readonly owners: number;
  readonly operations: number;
  readonly added: number;
  readonly bytes: number;
  readonly transactions: number;
  readonly kernelMs: number;
  readonly durationMs: number;
  /** The last-change-trigger-times (ms since the epoch) that this sync brought into the kernel. */
  readonly triggerTimes: readonly number[];
  /**
   * The foreign changes that this sync repaired. Undefined if there were none or the repair is
   * pending.
   */
  readonly repair: RepairReport | undefined;
  readonly error: SluiceError | undefined;
}

export interface SyncLoopOptions {
  readonly core: Core;
  readonly backend: Backend;
  readonly clock: Clock;
  readonly claims: FrontendClaims;
  /** Returns the current node and configuration. */
  readonly context: () => PlanContext;
  /** Increases whenever an input of `planNode` changes. */
  readonly nodeVersion: () => number;
  /**
   * Called when a Service was selected: its healthCheckNodePort and local endpoints may have
   * changed.
   */
  readonly selected: Selected;
  readonly report: (report: SyncReport) => void;
  /**
   * Called when frontends lead to other endpoints, as recorded in `core.flows`. Connections to them
   * may need an update.
   */
  readonly flowsChanged: () => void;
  readonly problems: ReportProblems;
  /** Called when there is work without a new event: the retry of a refused Service is due. */
  readonly wake: () => void;
}

export class SyncLoop {
  readonly #options: SyncLoopOptions;
  readonly #programmer: BatchProgrammer;
  readonly #refused: RefusedRetries;
  readonly #refusals = new Map<OwnerId, ProblemEnd>();
  #nodeVersion = -1;
  #swept = false;
  #leftoversRemoved = false;
  #verifyRequested = true;
  /** The foreign changes that were found and that no sync has repaired yet. */
  #drift: Drift | undefined;
  #triggerTimes: number[] = [];

  constructor(options: SyncLoopOptions) {
    this.#options = options;
    this.#programmer = new BatchProgrammer(options);
    this.#refused = new RefusedRetries(options.clock, (owner) => {
      if (owner === OWNER_NODE) this.#nodeVersion = -1;
      else this.#markDirty(owner);
      options.wake();
    });
  }

  /**
   * Makes the next sync start with `backend.verify`. Call it after another program changed our
   * table and after `backend.reconfigure`.
   */
  verify(): void {
    this.#verifyRequested = true;
  }

  /**
   * Runs one sync. Returns true if nothing needs a retry. Then the kernel holds or has refused
   * every dirty owner.
   */
  async run(): Promise<boolean> {
    const { core, clock, report } = this.#options;
    const started = clock.monotonic();
    this.#triggerTimes.push(...core.takeTriggerTimes());
    // While nothing reaches the kernel, keeping the oldest times is enough.
    this.#triggerTimes.length = Math.min(this.#triggerTimes.length, TRIGGER_TIMES_MAX);
    this.#takeProblems();
    const total = emptyOutcome();
    let owners = await this.#round(total);
    if (total.drifted) owners += await this.#round(total);
    const repair = total.transient === undefined ? this.#repaired() : undefined;
    const repaired = repair !== undefined && Object.keys(repair.driftedCounts).length > 0;
    const outcome =
      total.transient !== undefined
        ? "failed"
        : total.refused.length > 0
          ? "refused"
          : owners > 0 || repaired
            ? "done"
            : "nothing";
    report({
      outcome,
      owners,
      operations: total.operations,
      added: total.added,
      bytes: total.bytes,
      transactions: total.transactions,
      kernelMs: total.kernelMs,
      durationMs: clock.monotonic() - started,
      triggerTimes: outcome === "failed" ? [] : this.#triggerTimes.splice(0),
      repair,
      error: total.transient ?? total.refused[0]?.error,
    });
    return outcome !== "failed";
  }

  /**
   * Verifies what other programs touched, then programs every dirty owner once. Returns the number
   * of owners.
   */
  async #round(sum: BatchOutcome): Promise<number> {
    const { core, clock, context, nodeVersion, flowsChanged } = this.#options;
    const total = emptyOutcome();
    if (this.#verifyRequested) await this.#verify(total);
    if (total.transient !== undefined) {
      add(sum, total);
      return 0;
    }
    const { ids, expanded } = this.#takeDirtyServices();
    const owners: OwnerId[] = [...ids];
    const version = nodeVersion();
    if (version !== this.#nodeVersion) owners.unshift(OWNER_NODE);

    const plan = context();
    for (const batch of this.#batches(owners)) {
      // Let the watch, health and metrics run between batches.
      if (total.programmed.length > 0) await yieldToEventLoop(clock);
      add(total, await this.#programmer.program(batch, plan, expanded));
      // The core received events during the batch, so the expanded Services may be outdated.
      expanded.clear();
      if (total.transient !== undefined) break;
    }

    await this.#retryRefused(total, plan);
    await this.#removeLeftovers(total);
    if (core.flows.hasChanges()) flowsChanged();

    const settled = this.#recordOutcome(total, version);
    if (total.transient !== undefined) {
      for (const owner of owners) if (!settled.has(owner)) this.#markDirty(owner);
    }
    if (total.drifted) this.#verifyRequested = true;
    add(sum, total);
    return owners.length;
  }

  /**
   * Retries refused owners once after all others. The kernel may have refused a frontend that
   * another Service still held and gave up later. An example is a frontend with source ranges that
   * moves between Services. In a single transaction the order does not matter.
   */
  async #retryRefused(total: BatchOutcome, plan: PlanContext): Promise<void> {
    const { singleTransaction } = this.#options.backend.capabilities;
    if (total.refused.length === 0 || total.transient !== undefined || singleTransaction) return;
    const refused = total.refused.splice(0).map(({ owner }) => owner);
    add(total, await this.#programmer.program(refused, plan));
  }

  /**
   * Yields the owners in batches. The first sync also yields the adopted elements that no owner
   * claimed, which are known only after all owners are programmed.
   */
  *#batches(owners: readonly OwnerId[]): Generator<readonly OwnerId[]> {
    const { core, backend } = this.#options;
    const { singleTransaction } = backend.capabilities;
    const size = singleTransaction ? Math.max(owners.length, 1) : BATCH_SERVICES;
    for (let from = 0; from < owners.length; from += size) yield owners.slice(from, from + size);
    let left = this.#swept ? 0 : core.ownedElements(OWNER_ADOPTED, EVERY);
    while (left > 0) {
      yield [OWNER_ADOPTED];
      const before = left;
      left = core.ownedElements(OWNER_ADOPTED, EVERY);
      // The kernel refuses to remove them. The refusal is reported, and the next sync tries again.
      if (left === before) return;
    }
    this.#swept = true;
  }

  /** Removes the backend's own leftovers after all owners are programmed. */
  async #removeLeftovers(total: BatchOutcome): Promise<void> {
    const { leftovers } = this.#options.backend;
    if (total.transient !== undefined || this.#leftoversRemoved) return;
    try {
      await leftovers.remove();
      this.#leftoversRemoved = true;
    } catch (thrown) {
      rethrowDefect(thrown);
      total.transient = thrown;
    }
  }

  /**
   * Empties the dirty list and settles which Service holds each frontend before planning starts.
   */
  #takeDirtyServices(): DirtyServices {
    const { core, claims } = this.#options;
    const taken = new Set<ServiceId>();
    const expanded = new Map<ServiceId, ExpandedService | undefined>();
    // Call it once: the next call releases the ids of this one.
    const ids = core.takeDirty(core.dirtyCount());
    const keep = ids.length <= BATCH_SERVICES;
    for (const id of ids) {
      taken.add(id);
      const service = core.readService(id);
      const own = service && expandService(service);
      if (keep) expanded.set(id, own);
      for (const other of own === undefined ? claims.remove(id) : claims.update(own)) {
        taken.add(other);
      }
    }
    return { ids: [...taken], expanded };
  }

  #takeProblems(): void {
    const events = this.#options.core.takeProblems();
    if (events.length > 0) this.#options.problems(events);
  }

  /** Records the result of each owner. Returns the owners that need no further attempt now. */
  #recordOutcome(total: BatchOutcome, version: number): Set<OwnerId> {
    const { problems } = this.#options;
    const settled = new Set<OwnerId>();
    for (const owner of total.programmed) {
      settled.add(owner);
      if (owner === OWNER_NODE) this.#nodeVersion = version;
      if (this.#refused.delete(owner)) {
        const end = this.#refusals.get(owner);
        if (end !== undefined) problems([{ end }]);
        this.#refusals.delete(owner);
      }
    }
    for (const { owner, error } of total.refused) {
      settled.add(owner);
      if (owner === OWNER_NODE) this.#nodeVersion = version;
      const refusal = { subject: this.#nameOf(owner), code: error.code };
      this.#refused.add(owner);
      this.#refusals.set(owner, refusal);
      problems([{ begin: { ...refusal, field: "", message: error.message } }]);
    }
    return settled;
  }

  #markDirty(owner: OwnerId): void {
    if (isServiceOwner(owner)) this.#options.core.markDirty(owner);
  }

  /**
   * Makes the backend check the objects that other programs touched, and repair drift. The kernel
   * may be unreadable or reject the repair, for example because another program is still writing.
   * In that case it sets `total.transient` and leaves the repair for the next sync.
   */
  async #verify(total: BatchOutcome): Promise<void> {
    const { core, backend } = this.#options;
    // Changes that arrive from here on are left to the next verification.
    this.#verifyRequested = false;
    try {
      const drift = await backend.verify(core);
      if (drift === undefined) return;
      for (const { owner } of drift.refused) {
        // Program them like new owners, so that a refusal is recorded the usual way.
        if (owner === OWNER_NODE) this.#nodeVersion = -1;
        else this.#markDirty(owner);
        this.#swept = false;
      }
      this.#drift = this.#drift === undefined ? drift : joined(this.#drift, drift);
      // Connections that began while rules were missing were not translated and would stay that
      // way.
      if (Object.keys(drift.driftedCounts).length > 0) core.flows.recordAll();
      addWritten(total, drift.written);
    } catch (thrown) {
      rethrowDefect(thrown);
      this.#verifyRequested = true;
      total.transient = thrown;
    }
  }

  /** Returns the report of a completed repair. */
  #repaired(): RepairReport | undefined {
    const drift = this.#drift;
    if (drift === undefined) return undefined;
    this.#drift = undefined;
    const { change, changes, driftedCounts, noticedAt } = drift;
    const durationMs = this.#options.clock.monotonic() - noticedAt;
    return { change, changes, driftedCounts, durationMs };
  }

  #nameOf(owner: OwnerId): string {
    if (isServiceOwner(owner)) return `Service ${this.#options.core.serviceKey(owner)}`;
    return owner === OWNER_NODE ? "Node" : "Leftovers";
  }
}

interface DirtyServices {
  readonly ids: ServiceId[];
  /**
   * The Services decoded for the claims, so that the first batch need not decode them again.
   * Undefined stands for a deleted Service. Empty if there is more than one batch: keeping all
   * Services of a large load takes memory, and they may change during the first batch.
   */
  readonly expanded: Map<ServiceId, ExpandedService | undefined>;
}

/** No limit: the largest number that the core counts to. */
const EVERY = 0xffff_ffff;

/** Combines two verifications that precede one repair. */
function joined(first: Drift, second: Drift): Drift {
  const kinds = ["table", "chain", "map", "element"] as const;
  const sums = kinds.map((kind) => [
    kind,
    (first.driftedCounts[kind] ?? 0) + (second.driftedCounts[kind] ?? 0),
  ]);
  return {
    ...first,
    changes: first.changes + second.changes,
    driftedCounts: Object.fromEntries(sums.filter(([, count]) => count !== 0)),
  };
}

function addWritten(total: BatchOutcome, part: Drift["written"]): void {
  total.operations += part.operations;
  total.added += part.added;
  total.bytes += part.bytes;
  total.kernelMs += part.kernelMs;
  total.transactions += part.transactions;
}

function add(total: BatchOutcome, part: BatchOutcome): void {
  addWritten(total, part);
  for (const owner of part.programmed) total.programmed.push(owner);
  for (const refusal of part.refused) total.refused.push(refusal);
  total.transient = part.transient;
  total.drifted = part.drifted;
}
