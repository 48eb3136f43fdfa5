/**
 * Implements the iptables backend: kube-proxy's chains, written by one iptables-restore for each
 * family.
 */

import type { Adoption, ApplyResult, Backend, OwnerLookup } from "../backend/backend.ts";
import type { Capabilities } from "../backend/capabilities.ts";
import type { Drift, ForeignChange } from "../backend/drift.ts";
import type { ChainReader, LeftoverRules, RestoreStatistics } from "../backend/parts.ts";
import type { SkeletonOptions } from "../backend/skeleton-options.ts";
import { type Clock, systemClock, yieldToEventLoop } from "../base/clock.ts";
import { rethrowDefect, SluiceError } from "../base/errors.ts";
import { SYNC_COOLDOWN_SINGLE_TRANSACTION_MS_MAX } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Core } from "../core/core.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { OwnerId } from "../model/owner.ts";
import { type TableId, tableFamily } from "../model/tables.ts";
import { ChangeDetector, type Comparison } from "./change-detector.ts";
import {
  type Failure,
  FamilyRules,
  type FoundChains,
  type RefusedRestore,
} from "./family-rules.ts";
import { compareFamilies, describeChange, repairFamilies } from "./repair-chains.ts";
import type { Step } from "./restore-text.ts";
import type { RulesetOptions } from "./rules/fixed-chains.ts";
import { describePorts } from "./rules/port-description.ts";
import { RULE_TABLES, type Variant } from "./syntax/known-chains.ts";
import { type ChangeCounter, openChangeCounter } from "./tools/change-counter.ts";
import type { SearchOptions } from "./tools/find-tools.ts";
import { LockWaitingTools, logLocked } from "./tools/lock-wait.ts";
import type { Features } from "./tools/probe-tools.ts";
import { type FamilyTools, findToolset, type Toolset } from "./tools/toolset.ts";
import { trialSteps } from "./trial-steps.ts";

export interface IptablesDependencies {
  readonly clock?: Clock;
  readonly log?: Logger;
  /** Where to look for the tools. */
  readonly search?: SearchOptions;
}

export interface IptablesBackend extends Backend {
  /** Findings of `probe` for the operator, for the log. */
  findings(): readonly string[];
}

/** Creates the backend. Does not touch the kernel yet. */
export function createIptablesBackend(
  options: SkeletonOptions,
  dependencies: IptablesDependencies = {},
): IptablesBackend {
  return new Iptables(options, dependencies);
}

/** Nothing tells which program made a change. */
const UNKNOWN = "unknown";
const CANNOT_COMPARE = "iptables cannot compare";
/** A failed restore left something in the kernel, which the next `verify` reverts. */
const OWN_REMAINS: ForeignChange = {
  what: "remains of a refused change by Sluice",
  by: "Sluice",
  objects: ["remains of a refused change by Sluice"],
};

/** Why `verify` must compare everything. */
interface Suspicion {
  readonly change: Omit<ForeignChange, "objects">;
  /** Time when the first change was noticed, in monotonic ms. */
  readonly at: number;
  changes: number;
}

class Iptables implements IptablesBackend {
  readonly mode = "iptables";
  capabilities = iptablesCapabilities({ variant: "nft", unserved: [], unsupported: [] });
  readonly counters = undefined;
  /** A full list of xt_recent forgets the client that it saw first, and counts nothing. */
  readonly fullFrontends = undefined;
  readonly chains: ChainReader = {
    locate: (table, key) => this.#chainsOf(table, key),
    statistics: () => this.#restoreStatistics(),
  };
  readonly leftovers: LeftoverRules = { remove: () => this.#removeLeftovers() };
  readonly #clock: Clock;
  readonly #log: Logger | undefined;
  readonly #search: SearchOptions;
  readonly #detector: ChangeDetector;
  #options: SkeletonOptions;
  /** Options of the last `reconfigure`, until the next `start` or `verify`. */
  #pending: SkeletonOptions | undefined;
  #toolset: Toolset | undefined;
  #families: readonly FamilyRules[] = [];
  #counter: ChangeCounter | undefined;
  /**
   * All chains are as wanted. Until the first `apply`, the chains from before `start` keep serving.
   */
  #settled = false;
  /**
   * The first `apply` was refused and the error named no owner. Until all Services have been tried,
   * changes must not touch the rules that serve others (trial-steps.ts).
   */
  #trialOnly = false;
  /** A `verify` has been requested to revert the remains of a failed restore. */
  #repairRequested = false;
  /** The write in progress, or the last one. */
  #lastWrite: Promise<unknown> = Promise.resolve();
  #closed = false;
  #suspicion: Suspicion | undefined;
  #changed: (change: ForeignChange) => void = () => {};
  /** Result of the detector's last comparison. */
  #found: ForeignChange | undefined;

  constructor(options: SkeletonOptions, { clock, log, search }: IptablesDependencies) {
    this.#options = options;
    this.#clock = clock ?? systemClock;
    this.#log = log?.from("iptables-backend.ts");
    this.#search = search ?? {};
    this.#detector = new ChangeDetector({
      clock: this.#clock,
      readCounter: () => this.#counter?.read() ?? "",
      commits: (before, after) => this.#counter?.commits(before, after),
      ownCommits: () => this.#families.reduce((sum, { commits }) => sum + commits, 0),
      idle: () => this.#settled && this.#suspicion === undefined,
      compare: () => this.#compare(),
      onDifference: () => this.#found && this.#suspect(this.#found),
      onComparisonStarved: () => this.#suspectUnseen("unknown: while Sluice wrote"),
      onComparisonFailed: (error) => this.#cannotCompare(error),
    });
  }

  async probe(): Promise<void> {
    this.#toolset = await this.#findTools();
  }

  findings(): readonly string[] {
    return this.#toolset?.findings ?? [];
  }

  /** Adopts the chains that are in the kernel. The first `apply` writes only the differences. */
  async start(): Promise<Adoption> {
    this.#toolset ??= await this.#findTools();
    this.#takePendingOptions();
    this.#settled = false;
    this.#trialOnly = false;
    const families: FamilyRules[] = [];
    const found: (FoundChains | undefined)[] = [];
    for (const tools of this.#toolset.families) {
      const started = await this.#startFamily(tools);
      families.push(started.family);
      found.push(started.found);
    }
    this.#families = families;
    return adoptionOf(found, this.#variant);
  }

  watch(changed: (change: ForeignChange) => void): void {
    this.#detector.stop();
    this.#changed = changed;
    this.#openCounter();
    this.#detector.start();
    const { change } = this.#suspicion ?? {};
    if (change !== undefined) changed({ ...change, objects: [] });
  }

  async verify(core: Core): Promise<Drift | undefined> {
    const suspicion = this.#suspicion;
    this.#takePendingOptions();
    if (!this.#settled) {
      // The first `apply` compares all chains with the ones read here.
      for (const family of this.#families) {
        if (suspicion === undefined) await family.readUnknownJumps();
        else await family.read();
        await family.placeMangleCanary();
      }
      this.#suspicion = undefined;
      return undefined;
    }
    return this.#writing(async () => {
      if (suspicion === undefined) {
        await this.#writeStale();
        this.#repairRequested = false;
        return undefined;
      }
      const drift = await this.#repair(core, suspicion);
      this.#repairRequested = false;
      if (this.#suspicion === suspicion) this.#suspicion = undefined;
      return drift;
    });
  }

  reconfigure(options: SkeletonOptions): boolean {
    this.#pending = options;
    return true;
  }

  apply(operations: OperationList, owners: OwnerLookup): ApplyResult | Promise<ApplyResult> {
    if (this.#closed) {
      const error = new SluiceError("TOOL_FAILED", "write rules: Sluice is stopping");
      return { ok: false, error, transient: true };
    }
    const describe = describePorts(owners.serviceOf);
    const everything = !this.#settled && !this.#trialOnly;
    const steps = this.#families.map((family) => {
      const staged = family.stage(operations, describe, everything);
      return this.#trialOnly ? trialSteps(staged) : staged;
    });
    if (steps.some((one) => one.length > 0)) {
      return this.#writing(() => this.#writeStaged(steps, owners.nameOf));
    }
    this.#commit();
    return { ok: true, bytes: 0, kernelMs: 0 };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#detector.stop();
    this.#counter?.close();
    this.#counter = undefined;
    await this.#lastWrite.catch(() => {});
  }

  get #variant(): Variant {
    return this.#toolset?.variant ?? "nft";
  }

  async #findTools(): Promise<Toolset> {
    const toolset = await findToolset(this.#search, logLocked(this.#log));
    this.capabilities = iptablesCapabilities(toolset);
    return toolset;
  }

  /**
   * Reads the chains of a family, and creates missing canaries and chains. Waits for the xtables
   * lock for as long as another program holds it.
   * @throws SluiceError TOOL_FAILED, RULES_REFUSED
   */
  async #startFamily({
    tools,
    features,
  }: FamilyTools): Promise<{ family: FamilyRules; found: FoundChains | undefined }> {
    const waiting = new LockWaitingTools(tools, logLocked(this.#log));
    const pause = () => yieldToEventLoop(this.#clock);
    const family = new FamilyRules(waiting, this.#rulesetOptions(features), pause);
    const found = await family.read();
    const { refused } = await family.write(family.kernel.missing(family.wanted));
    if (refused !== undefined) throw family.failureOf(refused, undefined).error;
    if (!(await family.placeMangleCanary())) {
      this.#log?.warn("No table mangle; Sluice detects a flush only in the other tables", {
        tool: tools.path,
      });
    }
    waiting.stopWaiting();
    return { family, found };
  }

  #rulesetOptions(features: Features): RulesetOptions {
    return { ...this.#options, ...features };
  }

  #takePendingOptions(): void {
    const options = this.#pending;
    if (options === undefined) return;
    this.#pending = undefined;
    this.#options = options;
    for (const [index, family] of this.#families.entries()) {
      const tools = this.#toolset?.families[index];
      if (tools) family.reconfigure(this.#rulesetOptions(tools.features));
    }
  }

  /** Notifies the detector of the start and end of a write. */
  async #writing<Result>(write: () => Promise<Result>): Promise<Result> {
    this.#detector.beginWrite();
    const written = write();
    this.#lastWrite = written;
    try {
      return await written;
    } finally {
      this.#detector.endWrite();
    }
  }

  /** Writes the staged changes, and commits them or rolls them back. `steps`: for each family. */
  async #writeStaged(
    steps: readonly (readonly Step[])[],
    ownerName: (owner: OwnerId) => string,
  ): Promise<ApplyResult> {
    const started = this.#clock.monotonic();
    const { bytes, failed, drifted } = await this.#writeFamilies(steps, ownerName);
    for (const tool of drifted)
      this.#suspectUnseen(`chains in ${tool} that a change by Sluice needs`);
    if (failed !== undefined) {
      if (!this.#settled && !failed.transient && failed.owner === undefined) {
        this.#trialOnly = true;
      }
      for (const family of this.#families) family.rollback();
      // Another family may have accepted its changes, and the next attempt may no longer want
      // them.
      this.#detector.suspect();
      return failed;
    }
    this.#commit();
    return { ok: true, bytes, kernelMs: this.#clock.monotonic() - started };
  }

  /**
   * Runs one restore for each family. If one fails, others may have succeeded. `drifted`: the tools
   * that reported a missing object that the change relies on.
   */
  async #writeFamilies(
    steps: readonly (readonly Step[])[],
    ownerName: (owner: OwnerId) => string,
  ): Promise<{ bytes: number; failed: Failure | undefined; drifted: readonly string[] }> {
    const partial = this.#settled || this.#trialOnly;
    let bytes = 0;
    let failed: Failure | undefined;
    const drifted: string[] = [];
    for (const [index, family] of this.#families.entries()) {
      const written = await family.write(steps[index] ?? [], { partial });
      bytes += written.bytes;
      const { refused } = written;
      if (refused === undefined) continue;
      failed = joined(failed, await this.#failureOf(family, refused, ownerName));
      if (refused.drifted) drifted.push(family.tool);
      // All families share the lock, so the next one would wait just as long.
      if (refused.result.kind === "locked") break;
    }
    return { bytes, failed, drifted };
  }

  async #failureOf(
    family: FamilyRules,
    refused: RefusedRestore,
    ownerName: (owner: OwnerId) => string,
  ): Promise<Failure> {
    const { owner, result, drifted } = refused;
    const blocked =
      result.kind === "line" &&
      owner === undefined &&
      !drifted &&
      !(await family.acceptsAnyChange(this.#clock.monotonic()));
    const name = owner === undefined ? undefined : ownerName(owner);
    const failure = family.failureOf(refused, name);
    return {
      ...failure,
      transient: failure.transient || blocked,
      drifted: drifted || family.kernel.jumpsUnknown,
    };
  }

  #commit(): void {
    for (const family of this.#families) {
      family.commit();
      if (!this.#settled) this.#logKept(family);
    }
    this.#settled ||= !this.#trialOnly;
  }

  /** Logs the unwanted chains that stay in the kernel, each once. */
  #logKept(family: FamilyRules): void {
    for (const { table, chain } of family.kernel.keptChains(family.wanted)) {
      if (!this.#log?.firstTime(`iptables kept ${family.family} ${table} ${chain}`)) continue;
      this.#log.warn("Kept an empty kube-proxy chain that a rule of another program jumps to", {
        tool: family.tools.path,
        table,
        chain,
      });
    }
  }

  /** Removes the leftovers that the first `apply` kept because a refusal named no owner. */
  async #removeLeftovers(): Promise<void> {
    if (this.#settled) return;
    for (const family of this.#families) await family.readUnknownJumps();
    const steps = this.#families.map((family) => family.kernel.differences(family.wanted));
    this.#trialOnly = false;
    const receipt = await this.#writing(() => this.#writeStaged(steps, () => ""));
    if (receipt.ok) return;
    this.#trialOnly = true;
    throw receipt.error;
  }

  /**
   * Writes the changes from `reconfigure` and reverts the remains of failed restores, without
   * reading the kernel.
   * @throws SluiceError TOOL_FAILED, RULES_REFUSED
   */
  async #writeStale(): Promise<void> {
    for (const family of this.#families) {
      await family.readUnknownJumps();
      await family.placeMangleCanary();
      const { refused } = await family.write(family.staleDifferences(), { partial: true });
      if (refused !== undefined) {
        // The next `verify` repairs, and so finds the rule's owner and leaves it out.
        if (refused.result.kind === "line")
          this.#suspectUnseen(`rules that ${family.tool} refused`);
        throw family.failureOf(refused, undefined).error;
      }
      family.kernel.clearStale();
    }
  }

  async #repair(core: Core, suspicion: Suspicion): Promise<Drift> {
    const started = this.#clock.monotonic();
    const result = await repairFamilies(this.#families, core, this.#log);
    for (const family of this.#families) this.#logKept(family);
    this.#detector.recordComparison();
    return {
      change: result.change ?? suspicion.change,
      changes: suspicion.changes,
      noticedAt: suspicion.at,
      driftedCounts: result.driftedCounts,
      refused: result.refused,
      written: {
        operations: 0,
        added: 0,
        bytes: result.bytes,
        transactions: result.restores,
        kernelMs: this.#clock.monotonic() - started,
      },
    };
  }

  async #compare(): Promise<Comparison> {
    if (this.#families.some(({ kernel }) => kernel.hasStale)) {
      if (!this.#repairRequested) this.#changed(OWN_REMAINS);
      this.#repairRequested = true;
      return "ours";
    }
    const found = await compareFamilies(this.#families);
    this.#log?.rearm(CANNOT_COMPARE);
    if (found === undefined) return "unknown";
    this.#found = describeChange(found);
    return this.#found === undefined ? "same" : "differs";
  }

  #suspectUnseen(what: string): void {
    this.#suspect({ what, by: UNKNOWN, objects: [] });
  }

  /**
   * Records a change and reports it. The detector is idle until `verify` has cleared the suspicion,
   * so every change is reported.
   */
  #suspect(change: ForeignChange): void {
    const at = this.#clock.monotonic();
    const { what } = change;
    this.#suspicion ??= { change: { what, by: UNKNOWN }, changes: 0, at };
    this.#suspicion.changes++;
    this.#changed(change);
  }

  #cannotCompare({ message }: SluiceError): void {
    if (!this.#log?.firstTime(CANNOT_COMPARE)) return;
    this.#log.warn("Failed to compare the rules in the kernel", { err: message });
  }

  /** Without a counter, only the periodic comparisons find changes. */
  #openCounter(): void {
    this.#counter?.close();
    this.#counter = undefined;
    try {
      const families = this.#families.map(({ family }) => family);
      this.#counter = openChangeCounter(this.#variant, families);
    } catch (thrown) {
      rethrowDefect(thrown);
      this.#log?.warn("Failed to watch for changes; only the comparison each minute finds them", {
        err: thrown.message,
      });
    }
  }

  #chainsOf(table: TableId, key: Uint8Array): readonly string[] {
    const rules = this.#families.find(({ family }) => family === tableFamily(table));
    return rules?.chainsOf(table, key) ?? [];
  }

  #restoreStatistics(): readonly RestoreStatistics[] {
    return this.#families.map((one) => ({
      family: one.family,
      rules: RULE_TABLES.map((table) => ({ table, ...one.ruleCounts(table) })),
      failures: one.failures,
      partialFailures: one.partialFailures,
    }));
  }
}

function iptablesCapabilities({
  variant,
  unserved,
  unsupported,
}: Pick<Toolset, "variant" | "unserved" | "unsupported">): Capabilities {
  return {
    ownRules: {
      form: variant === "nft" ? "iptables" : "iptables-legacy",
      sharesKubeProxyChains: true,
    },
    unserved,
    unsupported,
    maxOperations: Number.POSITIVE_INFINITY,
    singleTransaction: true,
    syncCooldownMsMax: SYNC_COOLDOWN_SINGLE_TRANSACTION_MS_MAX,
    opensHealthCheckPorts: true,
    affinityMaps: false,
    localhostNodePorts: true,
  };
}

/** `found`: for each family. */
function adoptionOf(found: readonly (FoundChains | undefined)[], variant: Variant): Adoption {
  const what = `chains of iptables-${variant}`;
  if (!found.some((one) => one?.serves)) return { outcome: "fresh", what, elements: 0 };
  if (!found.some((one) => one?.fromSluice)) return { outcome: "replaced", what, elements: 0 };
  const elements = found.reduce((sum, one) => sum + (one?.chains ?? 0), 0);
  return { outcome: "adopted", what, elements };
}

/** Joins the failures of two families, so that the caller does what either of them requires. */
function joined(first: Failure | undefined, second: Failure): Failure {
  if (first === undefined) return second;
  const drifted = first.drifted === true || second.drifted === true;
  return { ...first, transient: first.transient || second.transient, drifted };
}
