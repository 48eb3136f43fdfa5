/** The iptables backend: kube-proxy's chains, written by iptables-restore, one restore for each family. */
import { OWNER_ADOPTED, OWNER_NODE } from "../../../asm/layout.ts";
import { type Clock, systemClock, turn } from "../../clock.ts";
import type { Core, OperationList } from "../../core/core.ts";
import { rethrowDefect, type SluiceError } from "../../errors.ts";
import type { Logger } from "../../log.ts";
import type { ServiceId } from "../../types.ts";
import type {
  Adoption,
  Backend,
  CleanupOutcome,
  Drift,
  ForeignChange,
  OwnRules,
  Receipt,
  RestoreStatistics,
  SkeletonOptions,
} from "../backend.ts";
import { describeChange } from "./amiss.ts";
import { openPeek, type Peek } from "./changes-peek.ts";
import { type Choice, chooseTools } from "./choose.ts";
import { describePorts } from "./describe.ts";
import { FamilyRules } from "./family.ts";
import type { SearchOptions } from "./find-tools.ts";
import { Guard } from "./guard.ts";
import { probeTools } from "./probe.ts";
import type { Features } from "./probe-trials.ts";
import { failure } from "./refusal.ts";
import { removeRules } from "./remove-rules.ts";
import { compare, mend } from "./repair.ts";
import type { Step } from "./restore-text.ts";
import type { RulesetOptions } from "./ruleset.ts";
import type { XtTools } from "./tools.ts";
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

interface Equipment {
  readonly tools: XtTools;
  readonly features: Features;
}

/** Why `verify` has something to look at. */
interface Suspicion {
  readonly change: Omit<ForeignChange, "objects">;
  readonly at: number;
  changes: number;
}

/** Owners that one `verify` leaves out because the kernel refuses a rule of theirs; others wait for the next one. */
const DISOWNED_MAX = 16;

class Iptables implements IptablesBackend {
  readonly wholesale = true;
  readonly #clock: Clock;
  readonly #log: Logger | undefined;
  readonly #search: SearchOptions;
  readonly #guard: Guard;
  #options: SkeletonOptions;
  /** Since `reconfigure`, for the next `start` or `verify`. */
  #pending: SkeletonOptions | undefined;
  #choice: Choice | undefined;
  #equipment: readonly Equipment[] = [];
  #families: readonly FamilyRules[] = [];
  #facts: readonly string[] = [];
  #core: Core | undefined;
  #peek: Peek | undefined;
  /** The first `apply` has made everything what it should be: until then what was there before serves on. */
  #settled = false;
  #busy = false;
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
      idle: () => this.#settled && !this.#busy && this.#suspicion === undefined,
      compare: () => this.#compare(),
      differs: () => this.#tell(),
      failed: (error) => this.#cannotCompare(error),
    });
  }

  get own(): OwnRules {
    return { kind: "iptables", variant: this.#variant };
  }

  async probe(): Promise<void> {
    this.#choice = await chooseTools(this.#search);
    const { variant, why, tools, missing } = this.#choice;
    const equipment: Equipment[] = [];
    const facts: string[] = [];
    const absent = missing.map(({ family, reason }) => ({ family, reason }));
    for (const family of [4, 6] as const) {
      const found = tools[family];
      if (found === undefined) continue;
      try {
        equipment.push({ tools: found, features: await probeTools(found) });
        facts.push(`IPv${family} is served by ${found.path} ${found.version} (${variant}): ${why}`);
      } catch (error) {
        rethrowDefect(error);
        // IPv6 alone may be missing from a kernel; the last family is not given up.
        if (family === 4 && tools[6] !== undefined && error.code === "KERNEL_UNSUPPORTED") {
          absent.push({ family, reason: error.message });
        } else if (equipment.length > 0 && error.code === "KERNEL_UNSUPPORTED") {
          absent.push({ family, reason: error.message });
        } else throw error;
      }
    }
    for (const { family, reason } of absent) facts.push(`IPv${family} is not served: ${reason}`);
    this.#equipment = equipment;
    this.#facts = facts;
  }

  facts(): readonly string[] {
    return this.#facts;
  }

  async start(core: Core): Promise<Adoption> {
    if (this.#choice === undefined) await this.probe();
    this.#core = core;
    this.#options = this.#pending ?? this.#options;
    this.#pending = undefined;
    this.#settled = false;
    const pause = () => turn(this.#clock);
    this.#families = this.#equipment.map(
      ({ tools, features }) => new FamilyRules(tools, this.#rulesetOptions(features), pause),
    );
    let chains = 0;
    let fromSluice = false;
    for (const family of this.#families) {
      const found = await family.read();
      chains += found.chains;
      fromSluice ||= found.fromSluice;
      const { refused } = await family.write(family.kernel.missing(family.wanted));
      if (refused !== undefined) throw failure(family, refused, undefined).error;
      if (!(await family.placeMangleCanary())) {
        this.#log?.warn("There is no table mangle; a flush is known by the other tables alone", {
          tool: family.tools.path,
        });
      }
    }
    const what = `the chains of ${this.#variant === "nft" ? "iptables-nft" : "iptables-legacy"}`;
    const outcome = chains === 0 ? "fresh" : fromSluice ? "adopted" : "replaced";
    return { outcome, what, elements: outcome === "adopted" ? chains : 0 };
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
    if (operations.count === 0) return { ok: true, bytes: 0, kernelMs: 0 };
    const describe = describePorts(this.#core);
    const steps = this.#families.map((family) =>
      family.stage(operations, describe, !this.#settled),
    );
    if (steps.some((one) => one.length > 0)) {
      return this.#writing(() => this.#write(steps, ownerName));
    }
    this.#commit();
    return { ok: true, bytes: 0, kernelMs: 0 };
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

  restoreStatistics(): readonly RestoreStatistics[] {
    return this.#families.map((one) => ({
      family: one.family,
      rules: RULE_TABLES.map((table) => ({ table, ...one.ruleCounts(table) })),
      failures: one.failures,
      partialFailures: one.partialFailures,
    }));
  }

  async cleanup(): Promise<CleanupOutcome> {
    const { tools } = this.#choice ?? (await chooseTools(this.#search));
    let removed = false;
    for (const family of [4, 6] as const) {
      const found = tools[family];
      if (found !== undefined && (await removeRules(found))) removed = true;
    }
    return removed ? "removed" : "absent";
  }

  close(): void {
    this.#guard.stop();
    this.#peek?.close();
    this.#peek = undefined;
  }

  get #variant(): Variant {
    return this.#choice?.variant ?? "nft";
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
      const equipment = this.#equipment[index];
      if (equipment) family.reconfigure(this.#rulesetOptions(equipment.features));
    }
  }

  async #write(
    steps: readonly (readonly Step[])[],
    ownerName: (owner: number) => string,
  ): Promise<Receipt> {
    const started = this.#clock.monotonic();
    let bytes = 0;
    let failed: Receipt | undefined;
    for (const [index, family] of this.#families.entries()) {
      const written = await family.write(steps[index] ?? []);
      bytes += written.bytes;
      const { refused } = written;
      if (refused === undefined) continue;
      const { owner } = refused;
      const unable = owner === undefined && !refused.drifted && !(await family.takesAnything());
      const receipt = failure(family, refused, owner === undefined ? undefined : ownerName(owner));
      failed ??= { ...receipt, transient: receipt.transient || unable };
      if (refused.drifted) this.#suspect(`what a change of ours builds on in ${family.tool}`);
    }
    if (failed !== undefined) {
      for (const family of this.#families) family.rollback();
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
    this.#settled = true;
  }

  /** Writes what `reconfigure` changed, by what the kernel is believed to hold. */
  async #writeDoubtful(): Promise<void> {
    for (const family of this.#families) {
      const { refused } = await family.write(family.doubtful());
      if (refused !== undefined) throw failure(family, refused, undefined).error;
      family.kernel.settle();
    }
  }

  async #mend(core: Core, suspicion: Suspicion): Promise<Drift | undefined> {
    const started = this.#clock.monotonic();
    const refusedOwners: { owner: number; error: SluiceError }[] = [];
    let bytes = 0;
    let transactions = 0;
    let amiss: Drift["amiss"] | undefined;
    let change: Suspicion["change"] | undefined;
    for (;;) {
      const peeked = this.#guard.peeked;
      const found = await mend(this.#families, this.#log);
      bytes += found.bytes;
      transactions += found.restores;
      amiss ??= found.amiss;
      change ??= found.change;
      const { refused } = found;
      if (refused === undefined) {
        if (transactions === 0) this.#guard.known(peeked);
        break;
      }
      const { owner } = refused.refusal;
      const { error } = failure(refused.family, refused.refusal, nameOf(core, owner));
      if (owner === undefined || refusedOwners.length === DISOWNED_MAX) throw error;
      refusedOwners.push({ owner, error });
      this.#disown(core, owner);
    }
    for (const family of this.#families) {
      family.kernel.settle();
      this.#sayKept(family);
    }
    return {
      change: change ?? suspicion.change,
      changes: suspicion.changes,
      noticedAt: suspicion.at,
      amiss,
      written: {
        ...{ operations: 0, added: 0, bytes, transactions },
        kernelMs: this.#clock.monotonic() - started,
      },
      refused: refusedOwners,
    };
  }

  /** Nothing of this owner is committed any more: it is programmed anew, and refused in its turn. */
  #disown(core: Core, owner: number): void {
    const operations = core.diff(0, [owner]);
    const describe = describePorts(core);
    for (const family of this.#families) {
      family.stage(operations, describe, false);
      family.commit();
    }
    core.commit();
  }

  async #writing<Result>(write: () => Promise<Result>): Promise<Result> {
    this.#busy = true;
    this.#guard.writing();
    try {
      return await write();
    } finally {
      this.#busy = false;
      this.#guard.written();
    }
  }

  async #compare(): Promise<boolean> {
    this.#found = describeChange(await compare(this.#families));
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

function nameOf(core: Core, owner: number | undefined): string | undefined {
  if (owner === undefined) return undefined;
  return owner === OWNER_NODE || owner === OWNER_ADOPTED ? "" : core.serviceKey(owner as ServiceId);
}
