/**
 * Manages the rules of one family: the wanted rules, the presumed contents of the kernel, and the
 * tools that read and write it.
 */

import type { ApplyResult } from "../backend/backend.ts";
import { SluiceError } from "../base/errors.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { OwnerId } from "../model/owner.ts";
import type { TableId } from "../model/tables.ts";
import type { Family } from "../net/address.ts";
import { KernelChains, type PrintedChain, type WantedChains, wantedText } from "./kernel-chains.ts";
import { printCanary, printRestore, ruleCount, type Step } from "./restore-text.ts";
import type { Chains } from "./rules/chain-texts.ts";
import type { RulesetOptions } from "./rules/fixed-chains.ts";
import type { Describe } from "./rules/port-description.ts";
import { Ruleset } from "./rules/ruleset.ts";
import { parseSavedSlices, type SavedChains } from "./saved-chains.ts";
import {
  areSluiceChains,
  CANARY,
  isKubeProxyChain,
  RULE_TABLES,
  type RuleTable,
  SERVICES,
} from "./syntax/known-chains.ts";
import { lockHint } from "./tools/lock-wait.ts";
import type { IptablesTools, RestoreResult } from "./tools/tools.ts";

/** A restore that the tool or kernel refused. */
export interface RefusedRestore {
  readonly result: Extract<RestoreResult, { readonly ok: false }>;
  /** The owner of the refused rule, if the tool named a rule. */
  readonly owner: OwnerId | undefined;
  /** The refused line; "" if the tool named none. */
  readonly words: string;
  /** The kernel's contents differ from what we believed. */
  readonly drifted: boolean;
}

/** The receipt of a change that failed. */
export type Failure = Extract<ApplyResult, { readonly ok: false }>;

export interface WriteOutcome {
  readonly bytes: number;
  readonly refused: RefusedRestore | undefined;
}

/** The chains that `read` found in the kernel. */
export interface FoundChains {
  readonly chains: number;
  /** Some chains lead to Services. */
  readonly serves: boolean;
  /** Sluice made the chains, not kube-proxy. */
  readonly fromSluice: boolean;
}

const NOTHING_WRITTEN: WriteOutcome = { bytes: 0, refused: undefined };
/** An error message quotes at most this many characters of the refused line. */
const WORDS_MAX = 300;
/** At most this many chains named in a refusal are looked up in the kernel. */
const SUSPECTS_MAX = 4;
/** `acceptsAnyChange` reuses a success for this long, in ms. */
const ACCEPTED_MS = 10_000;

export class FamilyRules {
  readonly tools: IptablesTools;
  readonly kernel = new KernelChains();
  readonly #ruleset: Ruleset;
  readonly #pause: () => Promise<void>;
  /** State of the canary in the table mangle; `absent`: the kernel has no such table. */
  #mangle: "unknown" | "absent" | "canary" | "no canary" = "unknown";
  /**
   * Counts changes to the wanted rules, and writes. `read` uses it to detect a change meanwhile.
   */
  #changes = 0;
  /** @see RestoreStatistics */
  failures = 0;
  partialFailures = 0;
  /** Number of our transactions: one for each table of a restore. */
  commits = 0;
  /** Last success of `acceptsAnyChange`, in monotonic ms. */
  #acceptedAt = Number.NEGATIVE_INFINITY;
  /** Number of rules that the last restore wrote, by table. */
  readonly #last = { nat: 0, filter: 0 };

  /** `pause` lets other work run while a large table is parsed. */
  constructor(tools: IptablesTools, options: RulesetOptions, pause: () => Promise<void>) {
    this.tools = tools;
    this.#ruleset = new Ruleset(tools.family, options);
    this.#pause = pause;
  }

  get family(): Family {
    return this.tools.family;
  }

  /** The tool's name, for the log. */
  get tool(): string {
    return this.family === 4 ? "iptables" : "ip6tables";
  }

  /** The rules that should be in the kernel, including staged changes. */
  get wanted(): WantedChains {
    return this.#ruleset;
  }

  get chains(): Chains {
    return this.#ruleset.chains;
  }

  /** The chains of the Service port that an element's frontend belongs to. */
  chainsOf(table: TableId, key: Uint8Array): readonly string[] {
    return this.#ruleset.chainsOf(table, key);
  }

  /** The wanted text of a chain; undefined if the chain should not exist. */
  textOf(table: RuleTable, chain: string): string | undefined {
    return wantedText(this.wanted, table, chain);
  }

  /** False if the canary in the table mangle has disappeared. */
  get mangleCanary(): boolean {
    return this.#mangle !== "no canary";
  }

  /**
   * Reads our chains from the kernel. If something was staged or written meanwhile, the output may
   * be outdated. It then returns undefined and changes nothing.
   * @throws SluiceError TOOL_FAILED
   */
  async read(): Promise<FoundChains | undefined> {
    const changes = this.#changes;
    await this.#lookForCanary();
    const found: (readonly [RuleTable, SavedChains])[] = [];
    for (const table of RULE_TABLES) {
      found.push([table, await parseSavedSlices(table, await this.tools.save(table), this.#pause)]);
    }
    if (changes !== this.#changes) return undefined;
    let chains = 0;
    for (const [table, saved] of found) {
      this.kernel.recordRead(table, saved, this.wanted);
      for (const chain of saved.own.keys()) if (isKubeProxyChain(table, chain)) chains++;
    }
    const nat = this.kernel.chains("nat");
    return {
      chains,
      serves: nat.has(SERVICES),
      fromSluice: areSluiceChains((chain) => nat.has(chain)),
    };
  }

  /** Reads the kernel if a failed restore left the jumps unknown. */
  async readUnknownJumps(): Promise<void> {
    if (this.kernel.jumpsUnknown) await this.read();
  }

  /**
   * Creates the canary in the table mangle, unless it exists. Returns false if the kernel has no
   * such table.
   */
  async placeMangleCanary(): Promise<boolean> {
    if (this.#mangle === "canary") return true;
    if (this.#mangle === "absent") return false;
    const result = await this.tools.restore(printCanary("mangle"));
    if (result.ok) {
      this.commits++;
      this.#mangle = "canary";
    }
    // Any failure other than a refusal by the kernel is temporary: the next write tries again.
    else if (result.kind === "line") this.#mangle = "absent";
    return this.#mangle !== "absent";
  }

  /**
   * Stages these operations and returns the steps for the chains that they change. `everything`:
   * the steps for all chains and jumps that differ.
   */
  stage(operations: OperationList, describe: Describe, everything: boolean): Step[] {
    this.#changes++;
    const changes = this.#ruleset.stage(operations, describe);
    const steps = everything
      ? this.kernel.differences(this.wanted)
      : this.kernel.differencesOf(changes, this.wanted);
    // Until `commit` clears it.
    this.kernel.markStale(changes);
    return steps;
  }

  /** The kernel has accepted the staged changes. */
  commit(): void {
    this.#ruleset.commit();
    this.kernel.clearStale();
  }

  /** Drops the staged changes. The kernel may contain some of them. */
  rollback(): void {
    this.#ruleset.rollback();
  }

  reconfigure(options: RulesetOptions): void {
    this.#changes++;
    this.kernel.markStale(this.#ruleset.reconfigure(options));
  }

  /** Steps for stale chains and for jumps. */
  staleDifferences(): Step[] {
    const none = { nat: new Map(), filter: new Map() };
    return [
      ...this.kernel.differencesOf(none, this.wanted),
      ...this.kernel.jumpDifferences(this.wanted),
    ];
  }

  /**
   * Writes all these steps in one restore. If the kernel refuses to delete a chain because foreign
   * rules lead to it, the chain is emptied instead. `partial`: the steps cover only some chains,
   * not all that differ.
   */
  async write(wanted: readonly Step[], { partial = false } = {}): Promise<WriteOutcome> {
    if (wanted.length === 0) return NOTHING_WRITTEN;
    this.#changes++;
    let bytes = 0;
    let steps = wanted;
    for (;;) {
      const printed = printRestore(steps);
      bytes += Buffer.byteLength(printed.text);
      const result = await this.tools.restore(printed.text);
      if (result.ok) {
        this.commits += new Set(steps.map(({ table }) => table)).size;
        this.kernel.recordAccepted(steps);
        this.#count(steps);
        return { bytes, refused: undefined };
      }
      this.failures++;
      if (partial) this.partialFailures++;
      const { lines } = result;
      steps = this.#withoutAccepted(steps, result.table);
      const undeletable = new Set<Step>();
      for (const line of lines) {
        const step = printed.words(line).startsWith("-X ") && printed.place(line)?.step;
        if (step) undeletable.add(step);
      }
      if (undeletable.size > 0) {
        steps = steps.map((step) => (undeletable.has(step) ? this.#keepChain(step) : step));
        continue;
      }
      this.kernel.recordFailed(steps, result.table !== undefined);
      const at = lines.find((line) => printed.place(line) !== undefined);
      const place = at === undefined ? undefined : printed.place(at);
      const words = result.line === undefined ? "" : printed.words(result.line);
      const drifted = await this.#isDrift(steps, place?.step, `${words} ${result.message}`);
      return { bytes, refused: { result, words, drifted, owner: this.#ownerOf(place) } };
    }
  }

  /**
   * The error of a refused restore. `ownerName`: `namespace/name` of the rule's owner, "" for the
   * node, undefined if unknown.
   */
  failureOf(
    { result, owner, words, drifted }: RefusedRestore,
    ownerName: string | undefined,
  ): Failure {
    const { kind, line, message } = result;
    const subject =
      ownerName === undefined
        ? "rules"
        : ownerName === ""
          ? "rules of the node"
          : `rules of Service ${ownerName}`;
    const where = line === undefined ? "" : ` (line ${line}: ${words.slice(0, WORDS_MAX)})`;
    const hint = kind === "locked" ? ` (\`${lockHint()}\` shows the process that holds it)` : "";
    const { path } = this.tools;
    const error = new SluiceError(
      kind === "line" ? "RULES_REFUSED" : "TOOL_FAILED",
      `write ${subject}: ${message}${where}${hint}`,
      ownerName === undefined || ownerName === "" ? path : `Service ${ownerName}`,
    );
    return {
      ok: false,
      error,
      // Only a refusal of a line is permanent.
      transient: kind !== "line",
      drifted,
      ...(owner === undefined ? {} : { owner }),
    };
  }

  /**
   * Reports whether the kernel accepts any change at all, by a restore that changes nothing. Skips
   * the restore if one succeeded less than ACCEPTED_MS before `now`.
   */
  async acceptsAnyChange(now: number): Promise<boolean> {
    if (now - this.#acceptedAt < ACCEPTED_MS) return true;
    const { ok } = await this.tools.restore(printCanary("nat"));
    if (ok) {
      this.commits++;
      this.#acceptedAt = now;
    }
    return ok;
  }

  /** The chains that these steps replace, as last printed. */
  printed(steps: readonly Step[]): PrintedChain[] {
    return steps.flatMap((step) => {
      if (step.kind !== "replace") return [];
      const { table, chain } = step;
      const printed = this.kernel.chains(table).get(chain);
      return printed === undefined ? [] : [{ table, chain, printed }];
    });
  }

  /** The number of rules in a table, and how many of them the last restore of this table wrote. */
  ruleCounts(table: RuleTable): { readonly total: number; readonly last: number } {
    let total = 0;
    for (const text of this.chains[table].values()) total += ruleCount(text);
    return { total, last: this.#last[table] };
  }

  /**
   * The remaining steps after a restore was refused at this table. nat comes before filter, so nat
   * has already changed if filter was refused.
   */
  #withoutAccepted(steps: readonly Step[], table: string | undefined): readonly Step[] {
    if (table !== "filter") return steps;
    const accepted = steps.filter((step) => step.table === "nat");
    if (accepted.length > 0) this.commits++;
    this.kernel.recordAccepted(accepted);
    this.#count(accepted);
    return steps.filter((step) => step.table !== "nat");
  }

  #keepChain(step: Step): Step {
    if (step.kind !== "remove") return step;
    this.kernel.recordUndeletable(step.table, step.chain);
    return { kind: "replace", table: step.table, chain: step.chain, text: "" };
  }

  #ownerOf(place: { step: Step; rule: number | undefined } | undefined): OwnerId | undefined {
    if (place?.rule === undefined || place.step.kind !== "replace") return undefined;
    return this.#ruleset.ownerOf(place.step.table, place.step.chain, place.rule);
  }

  /**
   * Reports whether a restore was refused because another program deleted something that it relies
   * on. Looks up the chains that the error message names.
   */
  async #isDrift(
    steps: readonly Step[],
    culprit: Step | undefined,
    words: string,
  ): Promise<boolean> {
    if (culprit !== undefined && culprit.kind !== "replace" && culprit.kind !== "remove") {
      return true;
    }
    const table = culprit?.table;
    if (table === undefined && words === "") return false;
    const declared = new Set(
      steps.map((step) => ("chain" in step ? `${step.table} ${step.chain}` : "")),
    );
    const names = new Set(words.match(/KUBE-[\w.:/-]*\w/g));
    let lookups = 0;
    for (const where of table === undefined ? RULE_TABLES : [table]) {
      for (const name of names) {
        const presumed = this.kernel.chains(where).has(name) && !declared.has(`${where} ${name}`);
        if (!presumed || ++lookups > SUSPECTS_MAX) continue;
        const found = await this.tools.list(where, name).catch(toolFailed);
        if (found === undefined) return true;
      }
    }
    return false;
  }

  async #lookForCanary(): Promise<void> {
    if (this.#mangle === "absent") return;
    const list = this.tools.list("mangle", CANARY);
    // Only an attempt to create the canary shows whether the table exists.
    const found = await (this.#mangle === "unknown" ? list.catch(unlisted) : list);
    if (found !== undefined) this.#mangle = "canary";
    else if (this.#mangle === "canary") this.#mangle = "no canary";
  }

  #count(steps: readonly Step[]): void {
    for (const table of RULE_TABLES) {
      let rules = 0;
      let any = false;
      for (const step of steps) {
        if (step.table !== table) continue;
        any = true;
        if (step.kind === "replace") rules += ruleCount(step.text);
      }
      if (any) this.#last[table] = rules;
    }
  }
}

function unlisted(thrown: unknown): undefined {
  if (!(thrown instanceof SluiceError)) throw thrown;
}

/** Returns an empty chain, because a chain that cannot be looked up counts as existing. */
function toolFailed(thrown: unknown): string {
  if (thrown instanceof SluiceError) return "";
  throw thrown;
}
