/** The iptables backend: kube-proxy's chains, written by iptables-restore, one restore for each family. */
import { type Clock, systemClock, turn } from "../../clock.ts";
import type { Core, OperationList } from "../../core/core.ts";
import { rethrowDefect, SluiceError } from "../../errors.ts";
import type { Logger } from "../../log.ts";
import { type TableId, tableFamily } from "../../plan/tables.ts";
import type {
  Adoption,
  Backend,
  Drift,
  ForeignChange,
  OwnRules,
  Receipt,
  RestoreStatistics,
  SkeletonOptions,
  UnservedFamily,
} from "../backend.ts";
import { describeChange } from "./amiss.ts";
import { describePorts } from "./describe.ts";
import { type Equipment, findEquipment } from "./equipment.ts";
import { FamilyRules } from "./family.ts";
import { Guard } from "./guard.ts";
import { failure } from "./refusal.ts";
import { compare, mend } from "./repair.ts";
import type { Step } from "./restore-text.ts";
import type { RulesetOptions } from "./rules/ruleset.ts";
import { cautious } from "./takeover.ts";
import { openPeek, type Peek } from "./tools/changes-peek.ts";
import type { SearchOptions } from "./tools/find-tools.ts";
import type { Features } from "./tools/probe-trials.ts";
import { RULE_TABLES, type Variant } from "./types.ts";

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

/** Why `verify` has something to look at. */
interface Suspicion {
  readonly change: Omit<ForeignChange, "objects">;
  readonly at: number;
  changes: number;
}

class Iptables implements IptablesBackend {
  readonly wholesale = true;
  readonly #clock: Clock;
  readonly #log: Logger | undefined;
  readonly #search: SearchOptions;
  readonly #guard: Guard;
  #options: SkeletonOptions;
  /** Since `reconfigure`, for the next `start` or `verify`. */
  #pending: SkeletonOptions | undefined;
  #equipment: Equipment | undefined;
  #families: readonly FamilyRules[] = [];
  #core: Core | undefined;
  #peek: Peek | undefined;
  /** The first `apply` has made everything what it should be: until then what was there before serves on. */
  #settled = false;
  /** A refusal has named nobody: until all are through, what was there before must go on serving the others. */
  #cautious = false;
  #busy = false;
  #written: Promise<unknown> = Promise.resolve();
  #closed = false;
  #suspicion: Suspicion | undefined;
  #changed: (change: ForeignChange) => void = () => {};
  /** What the last comparison of the guard found. */
  #found: ForeignChange | undefined;

  constructor(options: SkeletonOptions, surroundings: IptablesSurroundings) {
    this.#options = options;
    this.#clock = surroundings.clock ?? systemClock;
    this.#log = surroundings.log?.from("iptables.ts");
    this.#search = surroundings.search ?? {};
    this.#guard = new Guard({
      clock: this.#clock,
      peek: () => this.#peek?.read() ?? "",
      commits: (before, after) => this.#peek?.commits(before, after),
      ours: () => this.#families.reduce((sum, { commits }) => sum + commits, 0),
      idle: () => this.#settled && !this.#busy && this.#suspicion === undefined,
      compare: () => this.#compare(),
      differs: () => this.#tell(),
      failed: (error) => this.#cannotCompare(error),
    });
  }

  get own(): OwnRules {
    return { kind: "iptables", variant: this.#variant };
  }

  get unserved(): readonly UnservedFamily[] {
    return this.#equipment?.unserved ?? [];
  }

  get lacks(): readonly string[] {
    return this.#equipment?.lacks ?? [];
  }

  async probe(): Promise<void> {
    this.#equipment = await findEquipment(this.#search);
  }

  facts(): readonly string[] {
    return this.#equipment?.facts ?? [];
  }

  async start(core: Core): Promise<Adoption> {
    this.#equipment ??= await findEquipment(this.#search);
    this.#core = core;
    this.#options = this.#pending ?? this.#options;
    this.#pending = undefined;
    this.#settled = false;
    this.#cautious = false;
    const pause = () => turn(this.#clock);
    this.#families = this.#equipment.families.map(
      ({ tools, features }) => new FamilyRules(tools, this.#rulesetOptions(features), pause),
    );
    const found = [];
    for (const family of this.#families) {
      found.push(await family.read());
      const { refused } = await family.write(family.kernel.missing(family.wanted));
      if (refused !== undefined) throw failure(family, refused, undefined).error;
      if (!(await family.placeMangleCanary())) {
        this.#log?.warn("There is no table mangle; a flush is known by the other tables alone", {
          tool: family.tools.path,
        });
      }
    }
    const what = `the chains of iptables-${this.#variant}`;
    if (!found.some((one) => one?.serves)) return { outcome: "fresh", what, elements: 0 };
    if (!found.some((one) => one?.fromSluice)) return { outcome: "replaced", what, elements: 0 };
    const elements = found.reduce((sum, one) => sum + (one?.chains ?? 0), 0);
    return { outcome: "adopted", what, elements };
  }

  watch(changed: (change: ForeignChange) => void): void {
    this.#guard.stop();
    this.#changed = changed;
    this.#openPeek();
    this.#guard.start();
  }

  async verify(core: Core): Promise<Drift | undefined> {
    const suspicion = this.#suspicion;
    this.#takeUp();
    if (!this.#settled) {
      // Everything is compared with what was read, at the first `apply`.
      if (suspicion !== undefined) for (const family of this.#families) await family.read();
      this.#suspicion = undefined;
      return undefined;
    }
    return this.#writing(async () => {
      if (suspicion === undefined) {
        await this.#writeDoubtful();
        return undefined;
      }
      const drift = await this.#mend(core, suspicion);
      if (this.#suspicion === suspicion) this.#suspicion = undefined;
      return drift;
    });
  }

  reconfigure(options: SkeletonOptions): boolean {
    this.#pending = options;
    return true;
  }

  apply(
    operations: OperationList,
    ownerName: (owner: number) => string,
  ): Receipt | Promise<Receipt> {
    if (this.#closed) {
      const error = new SluiceError("TOOL_FAILED", "Cannot write rules: the program ends");
      return { ok: false, error, transient: true };
    }
    const describe = describePorts(this.#core);
    const everything = !this.#settled && !this.#cautious;
    const steps = this.#families.map((family) => {
      const staged = family.stage(operations, describe, everything);
      return this.#cautious ? cautious(staged) : staged;
    });
    if (steps.some((one) => one.length > 0)) {
      return this.#writing(() => this.#write(steps, ownerName));
    }
    this.#commit();
    return { ok: true, bytes: 0, kernelMs: 0 };
  }

  async sweep(): Promise<void> {
    if (this.#settled) return;
    const steps = this.#families.map((family) => family.kernel.differences(family.wanted));
    this.#cautious = false;
    const receipt = await this.#writing(() => this.#write(steps, () => ""));
    if (receipt.ok) return;
    this.#cautious = true;
    throw receipt.error;
  }

  remembersOutdated(): boolean {
    // The list of xt_recent goes with the last rule that names it.
    return false;
  }

  forgetAffinity(): number {
    return 0;
  }

  async readCounters(): Promise<boolean> {
    return true;
  }

  countDeleted(): void {}

  locate(table: TableId, key: Uint8Array): readonly string[] {
    const rules = this.#families.find(({ family }) => family === tableFamily(table));
    return rules?.chainsOf(table, key) ?? [];
  }

  restoreStatistics(): readonly RestoreStatistics[] {
    return this.#families.map((one) => ({
      family: one.family,
      rules: RULE_TABLES.map((table) => ({ table, ...one.ruleCounts(table) })),
      failures: one.failures,
      partialFailures: one.partialFailures,
    }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#guard.stop();
    this.#peek?.close();
    this.#peek = undefined;
    await this.#written.catch(() => {});
  }

  get #variant(): Variant {
    return this.#equipment?.variant ?? "nft";
  }

  #rulesetOptions({ randomFully, comments, recent }: Features): RulesetOptions {
    return { ...this.#options, randomFully, comments, recent };
  }

  #takeUp(): void {
    const options = this.#pending;
    if (options === undefined) return;
    this.#pending = undefined;
    this.#options = options;
    for (const [index, family] of this.#families.entries()) {
      const equipment = this.#equipment?.families[index];
      if (equipment) family.reconfigure(this.#rulesetOptions(equipment.features));
    }
  }

  async #write(
    steps: readonly (readonly Step[])[],
    ownerName: (owner: number) => string,
  ): Promise<Receipt> {
    const started = this.#clock.monotonic();
    let bytes = 0;
    let failed: Extract<Receipt, { readonly ok: false }> | undefined;
    for (const [index, family] of this.#families.entries()) {
      const written = await family.write(steps[index] ?? []);
      bytes += written.bytes;
      const { refused } = written;
      if (refused === undefined) continue;
      const { owner, result } = refused;
      const unable =
        result.kind === "line" &&
        owner === undefined &&
        !refused.drifted &&
        !(await family.takesAnything());
      const receipt = failure(family, refused, owner === undefined ? undefined : ownerName(owner));
      failed ??= { ...receipt, transient: receipt.transient || unable };
      if (refused.drifted) this.#suspect(`what a change of ours builds on in ${family.tool}`);
      // The lock is for all families: the next one would wait as long.
      if (result.kind === "locked") break;
    }
    if (failed !== undefined) {
      if (!this.#settled && !failed.transient && failed.owner === undefined) this.#cautious = true;
      for (const family of this.#families) family.rollback();
      // Another family may have taken what nobody wants any more when this is tried again.
      this.#guard.doubt();
      return failed;
    }
    this.#commit();
    return { ok: true, bytes, kernelMs: this.#clock.monotonic() - started };
  }

  #commit(): void {
    for (const family of this.#families) {
      family.commit();
      if (!this.#settled) this.#sayKept(family);
    }
    this.#settled ||= !this.#cautious;
  }

  /** Writes what `reconfigure` changed, by what the kernel is believed to hold. */
  async #writeDoubtful(): Promise<void> {
    for (const family of this.#families) {
      const { refused } = await family.write(family.doubtful());
      if (refused !== undefined) throw failure(family, refused, undefined).error;
      family.kernel.settle();
    }
  }

  async #mend(core: Core, suspicion: Suspicion): Promise<Drift> {
    const started = this.#clock.monotonic();
    const { amiss, change, bytes, restores, refused } = await mend(this.#families, core, this.#log);
    for (const family of this.#families) this.#sayKept(family);
    return {
      change: change ?? suspicion.change,
      changes: suspicion.changes,
      noticedAt: suspicion.at,
      ...{ amiss, refused },
      written: {
        ...{ operations: 0, added: 0, bytes, transactions: restores },
        kernelMs: this.#clock.monotonic() - started,
      },
    };
  }

  async #writing<Result>(write: () => Promise<Result>): Promise<Result> {
    this.#busy = true;
    this.#guard.writing();
    const written = write();
    this.#written = written;
    try {
      return await written;
    } finally {
      this.#busy = false;
      this.#guard.written();
    }
  }

  async #compare(): Promise<boolean> {
    const found = await compare(this.#families);
    this.#found = found && describeChange(found);
    return this.#found === undefined;
  }

  #tell(): void {
    const change = this.#found;
    if (change === undefined) return;
    this.#suspect(change.what);
    this.#changed(change);
  }

  #suspect(what: string): void {
    const at = this.#clock.monotonic();
    this.#suspicion ??= { change: { what, by: "somebody" }, changes: 0, at };
    this.#suspicion.changes++;
  }

  #cannotCompare({ message }: SluiceError): void {
    if (!this.#log?.once("iptables cannot compare")) return;
    this.#log.warn("The rules cannot be compared with what they should be", { err: message });
  }

  /** Without it, changes of others are found by the comparisons that are due anyway. */
  #openPeek(): void {
    this.#peek?.close();
    this.#peek = undefined;
    try {
      const families = this.#families.map(({ family }) => family);
      this.#peek = openPeek(this.#variant, families);
    } catch (thrown) {
      rethrowDefect(thrown);
      this.#log?.warn("Changes of others are not seen at once", { err: thrown.message });
    }
  }

  #sayKept(family: FamilyRules): void {
    for (const { table, chain } of family.kernel.kept(family.wanted)) {
      if (!this.#log?.once(`iptables kept ${family.family} ${table} ${chain}`)) continue;
      this.#log.warn(
        "A chain of kube-proxy's stays, without rules: a rule of somebody else leads to it",
        {
          ...{ tool: family.tools.path, table, chain },
        },
      );
    }
  }
}
