/** The rules of one family: what they should be, what the kernel is believed to hold, and the tools in between. */

import { SluiceError } from "../base/errors.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { TableId } from "../model/tables.ts";
import type { Family } from "../net/address.ts";
import { KernelChains, type PrintedChain, type Wanted, wantedText } from "./kernel-chains.ts";
import { printCanary, printRestore, ruleCount, type Step } from "./restore-text.ts";
import type { Chains } from "./rules/chain-texts.ts";
import type { RulesetOptions } from "./rules/fixed-chains.ts";
import type { Describe } from "./rules/port-description.ts";
import { Ruleset } from "./rules/ruleset.ts";
import { readSaved, type SavedChains } from "./saved-chains.ts";
import {
  areFromSluice,
  CANARY,
  isKubeProxyChain,
  RULE_TABLES,
  type RuleTable,
  SERVICES,
} from "./syntax/known-chains.ts";
import type { RestoreResult, XtTools } from "./tools/tools.ts";

/** A restore that was refused. */
export interface RefusedRestore {
  readonly result: Extract<RestoreResult, { readonly ok: false }>;
  /** The rule at fault, if the tool named one: whose it is, and what it says. */
  readonly owner: number | undefined;
  readonly words: string;
  /** The kernel does not hold what it was believed to. */
  readonly drifted: boolean;
}

/** What was written, or was not. */
export interface WriteOutcome {
  readonly bytes: number;
  readonly refused: RefusedRestore | undefined;
}

/** What `read` found in the kernel. */
export interface FoundChains {
  readonly chains: number;
  /** Some lead to Services. */
  readonly serves: boolean;
  /** This program made them. */
  readonly fromSluice: boolean;
}

const NOTHING_WRITTEN: WriteOutcome = { bytes: 0, refused: undefined };
/** Of so many chains it is looked up whether they are there. */
const SUSPECTS_MAX = 4;
/** For so long it is not asked again whether the kernel takes anything. */
const ABLE_MS = 10_000;

export class FamilyRules {
  readonly tools: XtTools;
  readonly kernel = new KernelChains();
  readonly #ruleset: Ruleset;
  readonly #pause: () => Promise<void>;
  /** The kernel has no mangle table, or the canary there is missing. */
  #mangle: "unknown" | "absent" | "canary" | "no canary" = "unknown";
  /** Of what is wanted or there. */
  #changes = 0;
  /** What `restoreStatistics` tells. */
  failures = 0;
  partialFailures = 0;
  /** Transactions made: one for each table of a restore. */
  commits = 0;
  /** When it took something for the question's sake. */
  #able = Number.NEGATIVE_INFINITY;
  readonly #last = { nat: 0, filter: 0 };

  constructor(tools: XtTools, options: RulesetOptions, pause: () => Promise<void>) {
    this.tools = tools;
    this.#ruleset = new Ruleset(tools.family, options);
    this.#pause = pause;
  }

  get family(): Family {
    return this.tools.family;
  }

  /** What its tools are called. */
  get tool(): string {
    return this.family === 4 ? "iptables" : "ip6tables";
  }

  get chains(): Chains {
    return this.#ruleset.chains;
  }

  /** Those of the port of a Service that an element's frontend is of. */
  chainsOf(table: TableId, key: Uint8Array): readonly string[] {
    return this.#ruleset.chainsOf(table, key);
  }

  get wanted(): Wanted {
    return this.#ruleset;
  }

  get mangleCanary(): boolean {
    return this.#mangle !== "no canary";
  }

  /**
   * Believes what the kernel holds now. Undefined, and nothing is believed: something was staged or written meanwhile,
   * and what was read may be from before it.
   * @throws SluiceError TOOL_FAILED
   */
  async read(): Promise<FoundChains | undefined> {
    const changes = this.#changes;
    await this.#lookForCanary();
    const found: (readonly [RuleTable, SavedChains])[] = [];
    for (const table of RULE_TABLES) {
      found.push([table, await readSaved(table, await this.tools.save(table), this.#pause)]);
    }
    if (changes !== this.#changes) return undefined;
    let chains = 0;
    for (const [table, saved] of found) {
      this.kernel.learn(table, saved, this.wanted);
      for (const chain of saved.own.keys()) if (isKubeProxyChain(table, chain)) chains++;
    }
    const nat = this.kernel.chains("nat");
    return {
      chains,
      serves: nat.has(SERVICES),
      fromSluice: areFromSluice((chain) => nat.has(chain)),
    };
  }

  /** Makes the canary in the mangle table, unless it is there or cannot be made now. False without such a table. */
  async placeMangleCanary(): Promise<boolean> {
    if (this.#mangle === "canary") return true;
    if (this.#mangle === "absent") return false;
    const result = await this.tools.restore(printCanary("mangle"));
    if (result.ok) this.commits++;
    if (result.ok) this.#mangle = "canary";
    // Anything else than the kernel's no passes: it is tried again when there is a reason to write.
    else if (result.kind === "line") this.#mangle = "absent";
    return this.#mangle !== "absent";
  }

  /**
   * Stages these operations; the steps that they make necessary. `everything`: whatever differs, rather than what they
   * changed.
   */
  stage(operations: OperationList, describe: Describe, everything: boolean): Step[] {
    this.#changes++;
    const changes = this.#ruleset.stage(operations, describe);
    const steps = everything
      ? this.kernel.differences(this.wanted)
      : this.kernel.differencesOf(changes, this.wanted);
    // Until it is committed, which is what `commit` settles.
    this.kernel.doubt(changes);
    return steps;
  }

  /** What is staged is in the kernel. */
  commit(): void {
    this.#ruleset.commit();
    this.kernel.settle();
  }

  /** What is staged is to be forgotten; the kernel may hold some of it. */
  rollback(): void {
    this.#ruleset.rollback();
  }

  reconfigure(options: RulesetOptions): void {
    this.#changes++;
    this.kernel.doubt(this.#ruleset.reconfigure(options));
  }

  /** What differs of what is in doubt, and of jumps. */
  doubtful(): Step[] {
    const none = { nat: new Map(), filter: new Map() };
    return [
      ...this.kernel.differencesOf(none, this.wanted),
      ...this.kernel.jumpDifferences(this.wanted),
    ];
  }

  /** A restore that failed left something that is not wanted, or is not there. Not to be asked while anything is staged. */
  get inDoubt(): boolean {
    return this.kernel.inDoubt;
  }

  /** Reads what must be known before the next steps, after a restore of which nobody knows what it did. */
  async lookAgain(): Promise<void> {
    if (this.kernel.blind) await this.read();
  }

  /**
   * One restore of all these steps. A chain that cannot be deleted, because others' rules lead to it, is emptied.
   * `partial`: these are some chains only, rather than whatever differs.
   */
  async write(wished: readonly Step[], { partial = false } = {}): Promise<WriteOutcome> {
    if (wished.length === 0) return NOTHING_WRITTEN;
    this.#changes++;
    let bytes = 0;
    let steps = wished;
    for (;;) {
      const printed = printRestore(steps);
      bytes += Buffer.byteLength(printed.text);
      const result = await this.tools.restore(printed.text);
      if (result.ok) {
        this.commits += new Set(steps.map(({ table }) => table)).size;
        this.kernel.took(steps);
        this.#count(steps);
        return { bytes, refused: undefined };
      }
      this.failures++;
      if (partial) this.partialFailures++;
      const { lines } = result;
      steps = this.#withoutTaken(steps, result.table);
      const undeletable = new Set<Step>();
      for (const line of lines) {
        const step = printed.words(line).startsWith("-X ") && printed.place(line)?.step;
        if (step) undeletable.add(step);
      }
      if (undeletable.size > 0) {
        steps = steps.map((step) => (undeletable.has(step) ? this.#keep(step) : step));
        continue;
      }
      this.kernel.failed(steps, result.table !== undefined);
      const at = lines.find((line) => printed.place(line) !== undefined);
      const place = at === undefined ? undefined : printed.place(at);
      const words = result.line === undefined ? "" : printed.words(result.line);
      const drifted = await this.#isDrift(steps, place?.step, `${words} ${result.message}`);
      return { bytes, refused: { result, words, drifted, owner: this.#ownerOf(place) } };
    }
  }

  /** Does the kernel take anything at all? At `now`, in ms: it is not asked again at once. */
  async takesAnything(now: number): Promise<boolean> {
    if (now - this.#able < ABLE_MS) return true;
    const { ok } = await this.tools.restore(printCanary("nat"));
    if (ok) {
      this.commits++;
      this.#able = now;
    }
    return ok;
  }

  /** Of these steps the chains that are there in other words, as they were printed. */
  printed(steps: readonly Step[]): PrintedChain[] {
    return steps.flatMap((step) => {
      if (step.kind !== "replace") return [];
      const { table, chain } = step;
      const printed = this.kernel.chains(table).get(chain);
      return printed === undefined ? [] : [{ table, chain, printed }];
    });
  }

  /** Rules of a table. */
  ruleCounts(table: RuleTable): { readonly total: number; readonly last: number } {
    let total = 0;
    for (const text of this.chains[table].values()) total += ruleCount(text);
    return { total, last: this.#last[table] };
  }

  /** What is left of the steps of a restore that was refused at this table: nat comes before filter. */
  #withoutTaken(steps: readonly Step[], table: string | undefined): readonly Step[] {
    if (table !== "filter") return steps;
    const taken = steps.filter((step) => step.table === "nat");
    if (taken.length > 0) this.commits++;
    this.kernel.took(taken);
    this.#count(taken);
    return steps.filter((step) => step.table !== "nat");
  }

  #keep(step: Step): Step {
    if (step.kind !== "remove") return step;
    this.kernel.keep(step.table, step.chain);
    return { kind: "replace", table: step.table, chain: step.chain, text: "" };
  }

  #ownerOf(place: { step: Step; rule: number | undefined } | undefined): number | undefined {
    if (place?.rule === undefined || place.step.kind !== "replace") return undefined;
    return this.#ruleset.ownerOf(place.step.table, place.step.chain, place.rule);
  }

  /** Was it refused because somebody else deleted what it builds on? Chains that the refusal names are looked for. */
  async #isDrift(
    steps: readonly Step[],
    culprit: Step | undefined,
    words: string,
  ): Promise<boolean> {
    if (culprit?.kind === "jump" || culprit?.kind === "unjump" || culprit?.kind === "append")
      return true;
    const table = culprit?.table;
    if (table === undefined && words === "") return false;
    const declared = new Set(
      steps.map((step) => ("chain" in step ? `${step.table} ${step.chain}` : "")),
    );
    const names = new Set(words.match(/KUBE-[\w.:/-]*\w/g));
    let looked = 0;
    for (const where of table === undefined ? RULE_TABLES : [table]) {
      for (const name of names) {
        const believed = this.kernel.chains(where).has(name) && !declared.has(`${where} ${name}`);
        if (!believed || ++looked > SUSPECTS_MAX) continue;
        const found = await this.tools.list(where, name).catch(toolFailed);
        if (found === undefined) return true;
      }
    }
    return false;
  }

  async #lookForCanary(): Promise<void> {
    if (this.#mangle === "absent") return;
    const list = this.tools.list("mangle", CANARY);
    // Whether there is such a table is known once the canary was to be made.
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

  /** The chain as it should be. */
  textOf(table: RuleTable, chain: string): string | undefined {
    return wantedText(this.wanted, table, chain);
  }
}

function unlisted(thrown: unknown): undefined {
  if (!(thrown instanceof SluiceError)) throw thrown;
}

/** What cannot be looked up is no sign of anything. */
function toolFailed(thrown: unknown): string {
  if (thrown instanceof SluiceError) return "";
  throw thrown;
}
