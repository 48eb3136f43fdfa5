/**
 * Tracks the presumed state of our chains in the kernel for one family, and computes the steps to
 * the wanted state. The kernel is read only if there is doubt about this state, never for a change
 * of a Service.
 */

import type { Step } from "./restore-text.ts";
import type { ChainChanges, Chains } from "./rules/chain-texts.ts";
import { type ChainText, normalizeRules } from "./rules/rule-text.ts";
import type { SavedChains } from "./saved-chains.ts";
import { isOwnJump, type Jump } from "./syntax/jumps.ts";
import {
  CANARY,
  isShared,
  type PerTable,
  perTable,
  RULE_TABLES,
  type RuleTable,
} from "./syntax/known-chains.ts";

/** The chains and jumps that should be in the kernel. */
export interface WantedChains {
  readonly chains: Chains;
  readonly jumps: readonly Jump[];
}

/** The text of a chain as a tool printed it. */
export interface PrintedChain {
  readonly table: RuleTable;
  readonly chain: string;
  readonly printed: ChainText;
}

/** The rules of a chain are unknown, and so is whether it exists. */
const UNKNOWN = undefined;

/** A tool's output for the wanted text: the same rules in its own dialect. */
interface DialectText {
  readonly printed: ChainText;
  readonly wanted: ChainText;
}

interface Table {
  readonly known: Map<string, ChainText | undefined>;
  /**
   * Chains that may differ because a restore failed or was rolled back, although no change names
   * them.
   */
  readonly stale: Set<string>;
  readonly dialect: Map<string, DialectText>;
  /** A failed restore may have changed rules of built-in or shared chains. They must be read. */
  jumpsUnknown: boolean;
  /** Rules of built-in chains, as last read. */
  builtIn: Map<string, string[]>;
  /** Chains that foreign rules lead to. Sluice empties them but does not delete them. */
  referred: ReadonlySet<string>;
  /**
   * Chains that the kernel refused to delete. `true` after a foreign rule was seen to lead there.
   */
  readonly undeletable: Map<string, boolean>;
}

export class KernelChains {
  readonly #tables: PerTable<Table> = perTable(() => ({
    known: new Map(),
    stale: new Set(),
    jumpsUnknown: false,
    dialect: new Map(),
    builtIn: new Map(),
    referred: new Set(),
    undeletable: new Map(),
  }));

  /** The chains that presumably exist. A chain is undefined if its text is unknown. */
  chains(table: RuleTable): ReadonlyMap<string, ChainText | undefined> {
    return this.#tables[table].known;
  }

  /**
   * Takes over the chains that were just read from the kernel. Nothing may have been written since.
   */
  recordRead(table: RuleTable, saved: SavedChains, wanted: WantedChains): void {
    const state = this.#tables[table];
    const { known, dialect, undeletable } = state;
    known.clear();
    state.jumpsUnknown = false;
    for (const [chain, printed] of saved.own) {
      const text = wantedText(wanted, table, chain);
      const words = dialect.get(chain);
      const accepted = words?.printed === printed && words.wanted === text;
      // Keep the wanted text itself, so that memory holds only one copy of it.
      const same = printed === text || accepted || normalizeRules(printed) === text;
      known.set(chain, same ? text : printed);
    }
    state.builtIn = new Map([...saved.builtIn].map(([from, rules]) => [from, [...rules]]));
    state.referred = saved.referred;
    for (const [chain, seen] of undeletable) {
      if (saved.referred.has(chain)) undeletable.set(chain, true);
      else if (seen) undeletable.delete(chain);
    }
  }

  /** Marks chains that may differ. */
  markStale(changes: ChainChanges): void {
    for (const table of RULE_TABLES) {
      for (const chain of changes[table].keys()) this.#tables[table].stale.add(chain);
    }
  }

  /** Steps for everything that differs, jumps included. */
  differences(wanted: WantedChains): Step[] {
    return RULE_TABLES.flatMap((table) => {
      const names = new Set([CANARY, ...wanted.chains[table].keys()]);
      for (const chain of this.#tables[table].known.keys()) names.add(chain);
      return [...this.#chainSteps(table, names, wanted), ...this.#jumpSteps(table, wanted)];
    });
  }

  /** Steps for each of these chains, and each stale chain, that differs. */
  differencesOf(changes: ChainChanges, wanted: WantedChains): Step[] {
    return RULE_TABLES.flatMap((table) => {
      const { stale } = this.#tables[table];
      const changed = changes[table].keys();
      const names = stale.size === 0 ? changed : new Set([...stale, ...changed]);
      return [...this.#chainSteps(table, names, wanted)];
    });
  }

  /** Steps for missing and superfluous jumps. */
  jumpDifferences(wanted: WantedChains): Step[] {
    return RULE_TABLES.flatMap((table) => [...this.#jumpSteps(table, wanted)]);
  }

  /** Steps for missing chains and the jumps to them. Existing chains stay as they are. */
  missing(wanted: WantedChains): Step[] {
    return this.differences(wanted).filter(
      (step) =>
        step.kind === "jump" ||
        ((step.kind === "replace" || step.kind === "append") &&
          !this.#tables[step.table].known.has(step.chain)),
    );
  }

  /** The kernel accepted these steps. */
  recordAccepted(steps: readonly Step[]): void {
    for (const step of steps) {
      const { known, builtIn } = this.#tables[step.table];
      if (step.kind === "replace") known.set(step.chain, step.text);
      else if (step.kind === "remove") known.delete(step.chain);
      else if (step.kind === "append") {
        const before = known.get(step.chain) ?? "";
        known.set(step.chain, [...linesOf(before), ...step.rules].join("\n"));
      } else {
        const rules = builtIn.get(step.from) ?? [];
        builtIn.set(step.from, rules);
        if (step.kind === "jump") rules.unshift(step.rule);
        else rules.splice(rules.indexOf(step.rule), 1);
      }
    }
  }

  /** The kernel may have accepted some of these steps. `refused`: it accepted none of them. */
  recordFailed(steps: readonly Step[], refused: boolean): void {
    for (const step of steps) {
      const state = this.#tables[step.table];
      if (step.kind === "replace" || step.kind === "remove") {
        state.known.set(step.chain, UNKNOWN);
        state.stale.add(step.chain);
      } else if (!refused) {
        state.jumpsUnknown = true;
      }
    }
  }

  /** The rules of built-in chains must be read before the next steps. */
  get jumpsUnknown(): boolean {
    return RULE_TABLES.some((table) => this.#tables[table].jumpsUnknown);
  }

  /** Some chains may differ although no change names them. */
  get hasStale(): boolean {
    return RULE_TABLES.some((table) => this.#tables[table].stale.size > 0);
  }

  /** All stale chains are now as wanted. */
  clearStale(): void {
    for (const table of RULE_TABLES) this.#tables[table].stale.clear();
  }

  /** The kernel refused to delete this chain. It stays without rules. */
  recordUndeletable(table: RuleTable, chain: string): void {
    this.#tables[table].undeletable.set(chain, false);
  }

  /** Unwanted chains that stay, without rules, because foreign rules lead to them. */
  keptChains({ chains }: WantedChains): { readonly table: RuleTable; readonly chain: string }[] {
    return RULE_TABLES.flatMap((table) => {
      const { known } = this.#tables[table];
      return [...known.keys()]
        .filter(
          (chain) =>
            !chains[table].has(chain) && !isShared(table, chain) && this.#mustStay(table, chain),
        )
        .map((chain) => ({ table, chain }));
    });
  }

  /**
   * Records a tool's output for a chain that was written as wanted. From now on both texts are
   * equivalent.
   */
  acceptDialect(table: RuleTable, chain: string, text: DialectText): void {
    this.#tables[table].dialect.set(chain, text);
  }

  #mustStay(table: RuleTable, chain: string): boolean {
    const { referred, undeletable } = this.#tables[table];
    return referred.has(chain) || undeletable.has(chain);
  }

  *#chainSteps(table: RuleTable, names: Iterable<string>, wanted: WantedChains): Generator<Step> {
    const { known } = this.#tables[table];
    for (const chain of names) {
      const exists = known.has(chain);
      const before = known.get(chain);
      const text = wantedText(wanted, table, chain);
      if (isShared(table, chain)) {
        const present = new Set(linesOf(before ?? ""));
        const rules = linesOf(text ?? "").filter((rule) => !present.has(rule));
        if (rules.length > 0) yield { kind: "append", table, chain, make: !exists, rules };
      } else if (text !== undefined) {
        if (before !== text) yield { kind: "replace", table, chain, text };
      } else if (exists) {
        if (!this.#mustStay(table, chain)) yield { kind: "remove", table, chain };
        else if (before !== "") yield { kind: "replace", table, chain, text: "" };
      }
    }
  }

  *#jumpSteps(table: RuleTable, { jumps }: WantedChains): Generator<Step> {
    const { builtIn } = this.#tables[table];
    const wanted = jumps.filter((jump) => jump.table === table);
    for (const { from, rule } of wanted) {
      if (!builtIn.get(from)?.includes(rule)) yield { kind: "jump", table, from, rule };
    }
    for (const [from, rules] of builtIn) {
      for (const [index, rule] of rules.entries()) {
        const ours = wanted.some((jump) => jump.from === from && jump.rule === rule);
        // -D deletes the first of several equal rules.
        const surplus = ours ? rules.indexOf(rule) < index : isOwnJump(table, from, rule);
        if (surplus) yield { kind: "unjump", table, from, rule };
      }
    }
  }
}

/** The wanted text of a chain; undefined if the chain should not exist. */
export function wantedText(
  { chains }: WantedChains,
  table: RuleTable,
  chain: string,
): ChainText | undefined {
  return chains[table].get(chain) ?? (chain === CANARY ? "" : undefined);
}

function linesOf(text: ChainText): string[] {
  return text === "" ? [] : text.split("\n");
}
