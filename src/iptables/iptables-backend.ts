/** The iptables backend: kube-proxy's chains, written by iptables-restore, one restore for each family. */

import type {
  Adoption,
  Backend,
  Drift,
  ForeignChange,
  OwnerLookup,
  Receipt,
  SkeletonOptions,
} from "../backend/backend.ts";
import type { Capabilities } from "../backend/capabilities.ts";
import type { ChainReader, LeftoverRules, RestoreStatistics } from "../backend/parts.ts";
import { type Clock, systemClock, turn } from "../base/clock.ts";
import { rethrowDefect, SluiceError } from "../base/errors.ts";
import { SYNC_REST_SINGLE_TRANSACTION_MS_MAX } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Core } from "../core/core.ts";
import type { OperationList } from "../model/operation-list.ts";
import { type TableId, tableFamily } from "../model/tables.ts";
import { describeChange } from "./amiss.ts";
import { adoptionOf, beginFamilies } from "./begin.ts";
import { ChangeDetector, type Comparison } from "./change-detector.ts";
import { FamilyRules } from "./family.ts";
import { cautious } from "./isolate-refusal.ts";
import { sayKept } from "./kept.ts";
import { failure } from "./refusal.ts";
import { compare, mend } from "./repair-families.ts";
import type { Step } from "./restore-text.ts";
import type { RulesetOptions } from "./rules/fixed-chains.ts";
import { describePorts } from "./rules/port-description.ts";
import { RULE_TABLES, type Variant } from "./syntax/known-chains.ts";
import { type ChangeCounter, openChangeCounter } from "./tools/change-counter.ts";
import type { SearchOptions } from "./tools/find-tools.ts";
import { logLocked } from "./tools/lock-wait.ts";
import type { Features } from "./tools/probe-tools.ts";
import { type FamilyTools, findToolset, type Toolset } from "./tools/toolset.ts";
import { writeAll } from "./write-all.ts";

export interface IptablesSurroundings {
  readonly clock?: Clock;
  readonly log?: Logger;
  /** Where the tools are looked for. */
  readonly search?: SearchOptions;
}

export interface IptablesBackend extends Backend {
  /** What `probe` found that an operator may want to know, for the log. */
  facts(): readonly string[];
}

/** Touches nothing yet. */
export function createIptablesBackend(
  options: SkeletonOptions,
  surroundings: IptablesSurroundings = {},
): IptablesBackend {
  return new Iptables(options, surroundings);
}

const CANNOT_COMPARE = "iptables cannot compare";
/** What a restore left that failed is for the next look, and nobody else's doing. */
const OURS: ForeignChange = {
  what: "what a change of ours left that was refused",
  by: "ourselves",
  objects: ["what a change of ours left"],
};

/** Why `verify` has something to look at. */
interface Suspicion {
  readonly change: Omit<ForeignChange, "objects">;
  readonly at: number;
  changes: number;
}

class Iptables implements IptablesBackend {
  readonly mode = "iptables";
  capabilities = capabilitiesOf({ variant: "nft", unserved: [], lacks: [] });
  /** None: xt_recent deletes its list of clients with the last rule that names it. */
  readonly affinity = undefined;
  readonly counters = undefined;
  readonly chains: ChainReader = {
    locate: (table, key) => this.#chainsOf(table, key),
    statistics: () => this.#restoreStatistics(),
  };
  readonly leftovers: LeftoverRules = { remove: () => this.#sweep() };
  readonly #clock: Clock;
  readonly #log: Logger | undefined;
  readonly #search: SearchOptions;
  readonly #detector: ChangeDetector;
  #options: SkeletonOptions;
  /** Since `reconfigure`, for the next `start` or `verify`. */
  #pending: SkeletonOptions | undefined;
  #toolset: Toolset | undefined;
  #families: readonly FamilyRules[] = [];
  #counter: ChangeCounter | undefined;
  /** The first `apply` has made everything what it should be: until then what was there before serves on. */
  #settled = false;
  /** A refusal has named nobody: until all are through, what was there before must go on serving the others. */
  #cautious = false;
  /** `verify` was asked for, to take back what a failed restore left. */
  #asked = false;
  #written: Promise<unknown> = Promise.resolve();
  #closed = false;
  #suspicion: Suspicion | undefined;
  #changed: (change: ForeignChange) => void = () => {};
  /** What the last comparison of the detector found. */
  #found: ForeignChange | undefined;

  constructor(options: SkeletonOptions, surroundings: IptablesSurroundings) {
    this.#options = options;
    this.#clock = surroundings.clock ?? systemClock;
    this.#log = surroundings.log?.from("iptables-backend.ts");
    this.#search = surroundings.search ?? {};
    this.#detector = new ChangeDetector({
      clock: this.#clock,
      readCounter: () => this.#counter?.read() ?? "",
      commits: (before, after) => this.#counter?.commits(before, after),
      ownCommits: () => this.#families.reduce((sum, { commits }) => sum + commits, 0),
      idle: () => this.#settled && this.#suspicion === undefined,
      compare: () => this.#compare(),
      onDifference: () => this.#found && this.#suspect(this.#found),
      onComparisonStarved: () => this.#suspectUnseen("something, while we wrote"),
      onComparisonFailed: (error) => this.#cannotCompare(error),
    });
  }

  async probe(): Promise<void> {
    this.#toolset = await this.#findTools();
  }

  facts(): readonly string[] {
    return this.#toolset?.facts ?? [];
  }

  async start(): Promise<Adoption> {
    this.#toolset ??= await this.#findTools();
    this.#takeUp();
    this.#settled = false;
    this.#cautious = false;
    const pause = () => turn(this.#clock);
    const make = ({ tools, features }: FamilyTools) =>
      new FamilyRules(tools, this.#rulesetOptions(features), pause);
    const { families, found } = await beginFamilies(this.#toolset.families, make, this.#log);
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
    this.#takeUp();
    if (!this.#settled) {
      // Everything is compared with what was read, at the first `apply`.
      for (const family of this.#families) {
        if (suspicion === undefined) await family.lookAgain();
        else await family.read();
        await family.placeMangleCanary();
      }
      this.#suspicion = undefined;
      return undefined;
    }
    return this.#writing(async () => {
      if (suspicion === undefined) {
        await this.#writeDoubtful();
        this.#asked = false;
        return undefined;
      }
      const drift = await this.#mend(core, suspicion);
      this.#asked = false;
      if (this.#suspicion === suspicion) this.#suspicion = undefined;
      return drift;
    });
  }

  reconfigure(options: SkeletonOptions): boolean {
    this.#pending = options;
    return true;
  }

  apply(operations: OperationList, owners: OwnerLookup): Receipt | Promise<Receipt> {
    if (this.#closed) {
      const error = new SluiceError("TOOL_FAILED", "Cannot write rules: the program ends");
      return { ok: false, error, transient: true };
    }
    const describe = describePorts({ readService: owners.serviceOf });
    const everything = !this.#settled && !this.#cautious;
    const steps = this.#families.map((family) => {
      const staged = family.stage(operations, describe, everything);
      return this.#cautious ? cautious(staged) : staged;
    });
    if (steps.some((one) => one.length > 0)) {
      return this.#writing(() => this.#write(steps, owners.nameOf));
    }
    this.#commit();
    return { ok: true, bytes: 0, kernelMs: 0 };
  }

  async #sweep(): Promise<void> {
    if (this.#settled) return;
    for (const family of this.#families) await family.lookAgain();
    const steps = this.#families.map((family) => family.kernel.differences(family.wanted));
    this.#cautious = false;
    const receipt = await this.#writing(() => this.#write(steps, () => ""));
    if (receipt.ok) return;
    this.#cautious = true;
    throw receipt.error;
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

  async close(): Promise<void> {
    this.#closed = true;
    this.#detector.stop();
    this.#counter?.close();
    this.#counter = undefined;
    await this.#written.catch(() => {});
  }

  async #findTools(): Promise<Toolset> {
    const toolset = await findToolset(this.#search, logLocked(this.#log));
    this.capabilities = capabilitiesOf(toolset);
    return toolset;
  }

  get #variant(): Variant {
    return this.#toolset?.variant ?? "nft";
  }

  #rulesetOptions(features: Features): RulesetOptions {
    return { ...this.#options, ...features };
  }

  #takeUp(): void {
    const options = this.#pending;
    if (options === undefined) return;
    this.#pending = undefined;
    this.#options = options;
    for (const [index, family] of this.#families.entries()) {
      const tools = this.#toolset?.families[index];
      if (tools) family.reconfigure(this.#rulesetOptions(tools.features));
    }
  }

  async #write(
    steps: readonly (readonly Step[])[],
    ownerName: (owner: number) => string,
  ): Promise<Receipt> {
    const started = this.#clock.monotonic();
    const partial = this.#settled || this.#cautious;
    const now = () => this.#clock.monotonic();
    const written = await writeAll(this.#families, { steps, partial, ownerName, now });
    const { bytes, failed, drifted } = written;
    for (const tool of drifted) this.#suspectUnseen(`what a change of ours builds on in ${tool}`);
    if (failed !== undefined) {
      if (!this.#settled && !failed.transient && failed.owner === undefined) this.#cautious = true;
      for (const family of this.#families) family.rollback();
      // Another family may have taken what nobody wants any more when this is tried again.
      this.#detector.suspect();
      return failed;
    }
    this.#commit();
    return { ok: true, bytes, kernelMs: this.#clock.monotonic() - started };
  }

  #commit(): void {
    for (const family of this.#families) {
      family.commit();
      if (!this.#settled) sayKept(family, this.#log);
    }
    this.#settled ||= !this.#cautious;
  }

  /** Writes what `reconfigure` changed, by what the kernel is believed to hold. */
  async #writeDoubtful(): Promise<void> {
    for (const family of this.#families) {
      await family.lookAgain();
      await family.placeMangleCanary();
      const { refused } = await family.write(family.doubtful(), { partial: true });
      if (refused !== undefined) {
        // Whose rule it is, and how to do without, is for `mend`.
        if (refused.result.kind === "line") this.#suspectUnseen(`what ${family.tool} refused`);
        throw failure(family, refused, undefined).error;
      }
      family.kernel.settle();
    }
  }

  async #mend(core: Core, suspicion: Suspicion): Promise<Drift> {
    const started = this.#clock.monotonic();
    const { amiss, change, bytes, restores, refused } = await mend(this.#families, core, this.#log);
    for (const family of this.#families) sayKept(family, this.#log);
    this.#detector.compared();
    return {
      change: change ?? suspicion.change,
      changes: suspicion.changes,
      noticedAt: suspicion.at,
      amiss,
      refused,
      written: {
        operations: 0,
        added: 0,
        bytes,
        transactions: restores,
        kernelMs: this.#clock.monotonic() - started,
      },
    };
  }

  async #writing<Result>(write: () => Promise<Result>): Promise<Result> {
    this.#detector.beginWrite();
    const written = write();
    this.#written = written;
    try {
      return await written;
    } finally {
      this.#detector.endWrite();
    }
  }

  async #compare(): Promise<Comparison> {
    if (this.#families.some((family) => family.inDoubt)) {
      if (!this.#asked) this.#changed(OURS);
      this.#asked = true;
      return "ours";
    }
    const found = await compare(this.#families);
    this.#log?.again(CANNOT_COMPARE);
    if (found === undefined) return "unknown";
    this.#found = describeChange(found);
    return this.#found === undefined ? "same" : "differs";
  }

  #suspectUnseen(what: string): void {
    this.#suspect({ what, by: "somebody", objects: [] });
  }

  /** Nothing is compared until `verify` has looked, so it is told each time. */
  #suspect(change: ForeignChange): void {
    const at = this.#clock.monotonic();
    const { what } = change;
    this.#suspicion ??= { change: { what, by: "somebody" }, changes: 0, at };
    this.#suspicion.changes++;
    this.#changed(change);
  }

  #cannotCompare({ message }: SluiceError): void {
    if (!this.#log?.once(CANNOT_COMPARE)) return;
    this.#log.warn("The rules cannot be compared with what they should be", { err: message });
  }

  /** Without it, changes of others are found by the comparisons that are due anyway. */
  #openCounter(): void {
    this.#counter?.close();
    this.#counter = undefined;
    try {
      const families = this.#families.map(({ family }) => family);
      this.#counter = openChangeCounter(this.#variant, families);
    } catch (thrown) {
      rethrowDefect(thrown);
      this.#log?.warn("Changes of others are not seen at once", { err: thrown.message });
    }
  }
}

function capabilitiesOf({
  variant,
  unserved,
  lacks,
}: Pick<Toolset, "variant" | "unserved" | "lacks">): Capabilities {
  return {
    ownRules: {
      form: variant === "nft" ? "iptables" : "iptables-legacy",
      sharesKubeProxyChains: true,
    },
    unserved,
    unsupported: lacks,
    maxOperations: Number.POSITIVE_INFINITY,
    singleTransaction: true,
    syncRestMsMax: SYNC_REST_SINGLE_TRANSACTION_MS_MAX,
    opensHealthCheckPorts: true,
    localhostNodePorts: true,
  };
}
