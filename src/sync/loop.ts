/**
 * The sync: everything that changed since the last one, taken from the core's dirty list to the kernel. The
 * pacer decides when; this is what.
 */
import { OWNER_ADOPTED, OWNER_NODE } from "../../asm/layout.ts";
import type { Backend } from "../apply/backend.ts";
import type { Clock } from "../clock.ts";
import type { Core } from "../core/core.ts";
import type { FrontendText } from "../diff/udp-frontends.ts";
import { SluiceError } from "../errors.ts";
import {
  AFFINITY_REST_FACTOR,
  AFFINITY_REST_MS,
  BATCH_SERVICES,
  TRIGGER_TIMES_MAX,
} from "../limits.ts";
import type { PlanContext } from "../plan/plan.ts";
import { TABLE_IDS } from "../plan/tables.ts";
import type { FrontendClaims } from "../state/claims.ts";
import type { ProblemEnd, ServiceId, TellProblems } from "../types.ts";
import { emptyOutcome, type Outcome, Programmer, type Selected } from "./programmer.ts";
import { RefusedOwners } from "./refused.ts";

/** What one sync did, for metrics, health and the log. */
export interface SyncReport {
  readonly outcome: "done" | "nothing" | "refused" | "failed";
  /** Owners taken up, operations the kernel took, netlink bytes, transactions. */
  readonly owners: number;
  readonly operations: number;
  readonly bytes: number;
  readonly transactions: number;
  readonly kernelMs: number;
  readonly durationMs: number;
  /** last-change-trigger-times (ms since the epoch) that this sync brought into the kernel. */
  readonly triggerTimes: readonly number[];
  /** The kernel was read again first, because somebody else had changed it. */
  readonly repaired: boolean;
  readonly error: SluiceError | undefined;
}

export interface SyncLoopOptions {
  readonly core: Core;
  readonly backend: Backend;
  readonly clock: Clock;
  readonly claims: FrontendClaims;
  /** The node and the configuration as of now. */
  readonly context: () => PlanContext;
  /** Grows whenever what `planNode` depends on has changed. */
  readonly nodeVersion: () => number;
  /** A Service was selected: its healthCheckNodePort and local endpoints may have changed. */
  readonly selected: Selected;
  readonly report: (report: SyncReport) => void;
  /** These frontends of UDP lead elsewhere now: flows to them may have to follow. */
  readonly udpChanged: (frontends: ReadonlySet<FrontendText>) => void;
  readonly problems: TellProblems;
  /** There is work again although no event came: a refused Service is due. */
  readonly wake: () => void;
}

export class SyncLoop {
  readonly #options: SyncLoopOptions;
  readonly #programmer: Programmer;
  readonly #refused: RefusedOwners;
  readonly #refusedNames = new Map<number, string>();
  #nodeVersion = -1;
  #swept = false;
  #rereadWanted = false;
  #forgetful = false;
  /** When clients may be forgotten again, and whether a timer waits for that. */
  #forgetAgain = Number.NEGATIVE_INFINITY;
  #forgetDue = false;
  #triggerTimes: number[] = [];

  constructor(options: SyncLoopOptions) {
    this.#options = options;
    this.#programmer = new Programmer(options);
    this.#refused = new RefusedOwners(options.clock, (owner) => {
      if (owner === OWNER_NODE) this.#nodeVersion = -1;
      else options.core.markDirty(owner as ServiceId);
      options.wake();
    });
  }

  /** The next sync reads the kernel first, and mends what differs: somebody else changed our table. */
  reread(): void {
    this.#rereadWanted = true;
  }

  /** One sync. True when everything that was dirty is in the kernel or refused for good reason. */
  async run(): Promise<boolean> {
    const { core, clock, context, nodeVersion, report, udpChanged } = this.#options;
    const started = clock.monotonic();
    this.#triggerTimes.push(...core.takeTriggerTimes());
    // While nothing reaches the kernel, the oldest tell enough.
    this.#triggerTimes.length = Math.min(this.#triggerTimes.length, TRIGGER_TIMES_MAX);
    this.#takeProblems();
    const repaired = this.#rereadWanted;
    const unreadable = repaired ? this.#readAgain() : undefined;
    if (unreadable !== undefined) {
      const durationMs = clock.monotonic() - started;
      report({ ...UNREADABLE, durationMs, error: unreadable });
      return false;
    }
    const owners: number[] = this.#takeDirtyServices();
    const version = nodeVersion();
    if (version !== this.#nodeVersion) owners.unshift(OWNER_NODE);

    const total = emptyOutcome();
    const plan = context();
    for (const batch of this.#batches(owners)) {
      // Between batches everything else gets its turn: the watch, health, metrics.
      if (total.programmed.length > 0) await new Promise<void>((resolve) => clock.soon(resolve));
      const part = this.#programmer.program(batch, plan);
      add(total, part);
      if (part.udpFrontends.size > 0) udpChanged(part.udpFrontends);
      if (total.transient !== undefined) break;
    }

    this.#tryRefusedAgain(total, plan);

    const settled = this.#settle(total, version);
    if (total.transient !== undefined) {
      for (const owner of owners) if (!settled.has(owner)) this.#again(owner);
    }
    if (total.drifted) this.#rereadWanted = true;
    const outcome =
      total.transient !== undefined
        ? "failed"
        : total.refused.length > 0
          ? "refused"
          : owners.length > 0
            ? "done"
            : "nothing";
    report({
      outcome,
      owners: owners.length,
      operations: total.operations,
      bytes: total.bytes,
      transactions: total.transactions,
      kernelMs: total.kernelMs,
      durationMs: clock.monotonic() - started,
      triggerTimes: outcome === "failed" ? [] : this.#triggerTimes.splice(0),
      repaired,
      error: total.transient ?? total.refused[0]?.error,
    });
    this.#forgetful ||= total.forgetful;
    return outcome !== "failed" && this.#forgetClients();
  }

  /**
   * What an owner was refused may have been in the hands of another that was programmed after it (a frontend
   * with source ranges that passes from one Service to another), so it gets one more try when all are through.
   */
  #tryRefusedAgain(total: Outcome, plan: PlanContext): void {
    if (total.refused.length === 0 || total.transient !== undefined) return;
    const refused = total.refused.splice(0).map(({ owner }) => owner);
    add(total, this.#programmer.program(refused, plan));
  }

  /** After the commit: nothing can be learned for what is gone by now. False if it is yet to be done. */
  #forgetClients(): boolean {
    if (!this.#forgetful || this.#forgetLater()) return true;
    const { core, backend, clock, problems } = this.#options;
    const started = clock.monotonic();
    const about = { subject: "Affinity", code: "NETLINK_REFUSED", field: "" } as const;
    try {
      backend.forgetAffinity(core);
    } catch (thrown) {
      if (!(thrown instanceof SluiceError)) throw thrown;
      problems([{ begin: { ...about, message: thrown.message } }]);
      return false;
    }
    problems([{ end: about }]);
    this.#forgetful = false;
    const ended = clock.monotonic();
    const rest = Math.max(AFFINITY_REST_MS, (ended - started) * AFFINITY_REST_FACTOR);
    this.#forgetAgain = ended + rest;
    return true;
  }

  /** Is it too soon to do it again? Then the loop is woken in time. */
  #forgetLater(): boolean {
    const { clock, wake } = this.#options;
    const wait = this.#forgetAgain - clock.monotonic();
    if (wait <= 0) return false;
    if (!this.#forgetDue) {
      this.#forgetDue = true;
      clock.after(wait, () => {
        this.#forgetDue = false;
        wake();
      });
    }
    return true;
  }

  /** The owners in batches, and at the first sync what nobody has claimed: it is known only after all others. */
  *#batches(owners: readonly number[]): Generator<readonly number[]> {
    const { core } = this.#options;
    for (let from = 0; from < owners.length; from += BATCH_SERVICES) {
      yield owners.slice(from, from + BATCH_SERVICES);
    }
    let left = this.#swept ? 0 : core.ownedElements(OWNER_ADOPTED, EVERY);
    while (left > 0) {
      yield [OWNER_ADOPTED];
      const before = left;
      left = core.ownedElements(OWNER_ADOPTED, EVERY);
      // The kernel refuses them: that is reported, and they are tried again at the next sync.
      if (left === before) return;
    }
    this.#swept = true;
  }

  /** Empties the dirty list, settling who holds which frontend before anything is planned. */
  #takeDirtyServices(): ServiceId[] {
    const { core, claims } = this.#options;
    const taken = new Set<ServiceId>();
    // Once only: the next call lets go of the ids of this one.
    for (const id of core.takeDirty(core.dirtyCount())) {
      taken.add(id);
      const service = core.readService(id);
      for (const other of service === undefined ? claims.remove(id) : claims.update(service)) {
        taken.add(other);
      }
    }
    return [...taken];
  }

  #takeProblems(): void {
    const events = this.#options.core.takeProblems();
    if (events.length > 0) this.#options.problems(events);
  }

  /** Books what became of the owners; returns those that need no further attempt now. */
  #settle(total: Outcome, version: number): Set<number> {
    const { problems } = this.#options;
    const settled = new Set<number>();
    for (const owner of total.programmed) {
      settled.add(owner);
      if (owner === OWNER_NODE) this.#nodeVersion = version;
      if (this.#refused.delete(owner)) {
        problems([{ end: refusalOf(this.#refusedNames.get(owner) ?? "") }]);
        this.#refusedNames.delete(owner);
      }
    }
    for (const { owner, error } of total.refused) {
      settled.add(owner);
      if (owner === OWNER_NODE) this.#nodeVersion = version;
      const name = this.#nameOf(owner);
      this.#refused.add(owner);
      this.#refusedNames.set(owner, name);
      problems([{ begin: { ...refusalOf(name), field: "", message: error.message } }]);
    }
    return settled;
  }

  #again(owner: number): void {
    if (owner !== OWNER_NODE && owner !== OWNER_ADOPTED) {
      this.#options.core.markDirty(owner as ServiceId);
    }
  }

  /**
   * Forgets what we believed, adopts what is there, and marks everything dirty. The error, if the kernel could
   * not be read, because somebody is at it still, say: then it is yet to be done.
   */
  #readAgain(): SluiceError | undefined {
    const { core, backend } = this.#options;
    for (const table of TABLE_IDS) {
      const keys: Uint8Array[] = [];
      core.eachElement(table, (key) => keys.push(key.slice()));
      core.forget(table, new Uint8Array(Buffer.concat(keys)), keys.length);
    }
    try {
      backend.start(core);
    } catch (thrown) {
      if (thrown instanceof SluiceError) return thrown;
      throw thrown;
    }
    core.markAllDirty();
    this.#nodeVersion = -1;
    this.#swept = false;
    this.#rereadWanted = false;
    return undefined;
  }

  #nameOf(owner: number): string {
    if (owner === OWNER_NODE) return "Node";
    if (owner === OWNER_ADOPTED) return "Leftovers";
    return `Service ${this.#options.core.serviceKey(owner as ServiceId)}`;
  }
}

/** No bound: the largest number the core counts to. */
const EVERY = 0xffff_ffff;

/** The report of a sync that could not even read the kernel. */
const UNREADABLE = {
  outcome: "failed",
  owners: 0,
  operations: 0,
  bytes: 0,
  transactions: 0,
  kernelMs: 0,
  triggerTimes: [],
  repaired: false,
} as const;

function refusalOf(subject: string): ProblemEnd & { readonly code: "NETLINK_REFUSED" } {
  return { subject, code: "NETLINK_REFUSED" };
}

function add(total: Outcome, part: Outcome): void {
  total.operations += part.operations;
  total.bytes += part.bytes;
  total.kernelMs += part.kernelMs;
  total.transactions += part.transactions;
  for (const owner of part.programmed) total.programmed.push(owner);
  for (const refusal of part.refused) total.refused.push(refusal);
  total.transient = part.transient;
  total.drifted = part.drifted;
  total.forgetful ||= part.forgetful;
}
