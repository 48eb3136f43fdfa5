/**
 * What the kernel is believed to hold of ours, in one family, and the steps that make it what it should be. It is read
 * when there is a reason to doubt it, never on the path of a change.
 */

import type { Step } from "./restore-text.ts";
import type { ChainChanges, Chains } from "./rules/chain-texts.ts";
import { type ChainText, normalize } from "./rules/rule-text.ts";
import type { SavedChains } from "./saved-chains.ts";
import { isJumpOfOurs, type Jump } from "./syntax/jumps.ts";
import {
  CANARY,
  isShared,
  type PerTable,
  perTable,
  RULE_TABLES,
  type RuleTable,
} from "./syntax/known-chains.ts";

/** What should be there. */
export interface Wanted {
  readonly chains: Chains;
  readonly jumps: readonly Jump[];
}

/** Nothing is known of what is in a chain, or whether it is there. */
const UNKNOWN = undefined;

/** The text of a chain as a tool printed it. */
export interface PrintedChain {
  readonly table: RuleTable;
  readonly chain: string;
  readonly printed: ChainText;
}

/** What a tool prints of a chain in other words than ours: the same rules. */
interface OtherWords {
  readonly printed: ChainText;
  readonly wanted: ChainText;
}

interface Table {
  readonly known: Map<string, ChainText | undefined>;
  /** Chains that may differ although no change names them: a restore failed, or was taken for nothing. */
  readonly stale: Set<string>;
  readonly otherWords: Map<string, OtherWords>;
  /** Rules of built-in or shared chains may have been added or deleted: to be read before that is done again. */
  blind: boolean;
  /** Rules of built-in chains as they were read. */
  builtIn: Map<string, string[]>;
  /** Chains that others' rules lead to: emptied, but not deleted. */
  referred: ReadonlySet<string>;
  /** Chains that the kernel would not delete; `true` once others' rules were seen to lead there. */
  readonly undeletable: Map<string, boolean>;
}

export class KernelChains {
  readonly #tables: PerTable<Table> = perTable(() => ({
    known: new Map(),
    stale: new Set(),
    blind: false,
    otherWords: new Map(),
    builtIn: new Map(),
    referred: new Set(),
    undeletable: new Map(),
  }));

  /** The chains that are there, as far as is known. */
  chains(table: RuleTable): ReadonlyMap<string, ChainText | undefined> {
    return this.#tables[table].known;
  }

  /** This was read just now, and nothing was written since. */
  learn(table: RuleTable, saved: SavedChains, wanted: Wanted): void {
    const state = this.#tables[table];
    const { known, otherWords, undeletable } = state;
    known.clear();
    state.blind = false;
    for (const [chain, printed] of saved.own) {
      const text = wantedText(wanted, table, chain);
      const words = otherWords.get(chain);
      const accepted = words?.printed === printed && words.wanted === text;
      // The text that is wanted rather than one like it, so that it is kept once.
      const same = printed === text || accepted || normalize(printed) === text;
      known.set(chain, same ? text : printed);
    }
    state.builtIn = new Map([...saved.builtIn].map(([from, rules]) => [from, [...rules]]));
    state.referred = saved.referred;
    for (const [chain, seen] of undeletable) {
      if (saved.referred.has(chain)) undeletable.set(chain, true);
      else if (seen) undeletable.delete(chain);
    }
  }

  /** These chains may differ. */
  doubt(changes: ChainChanges): void {
    for (const table of RULE_TABLES) {
      for (const chain of changes[table].keys()) this.#tables[table].stale.add(chain);
    }
  }

  /** Everything that differs, jumps included. */
  differences(wanted: Wanted): Step[] {
    return RULE_TABLES.flatMap((table) => {
      const names = new Set([CANARY, ...wanted.chains[table].keys()]);
      for (const chain of this.#tables[table].known.keys()) names.add(chain);
      return [...this.#chainSteps(table, names, wanted), ...this.#jumpSteps(table, wanted)];
    });
  }

  /** What differs of these chains, and of those in doubt. */
  differencesOf(changes: ChainChanges, wanted: Wanted): Step[] {
    return RULE_TABLES.flatMap((table) => {
      const { stale } = this.#tables[table];
      const changed = changes[table].keys();
      const names = stale.size === 0 ? changed : new Set([...stale, ...changed]);
      return [...this.#chainSteps(table, names, wanted)];
    });
  }

  /** Jumps that are missing, or too many. */
  jumpDifferences(wanted: Wanted): Step[] {
    return RULE_TABLES.flatMap((table) => [...this.#jumpSteps(table, wanted)]);
  }

  /** Chains that are missing, and jumps to them; whatever is there stays as it is. */
  missing(wanted: Wanted): Step[] {
    return this.differences(wanted).filter(
      (step) =>
        step.kind === "jump" ||
        ((step.kind === "replace" || step.kind === "append") &&
          !this.#tables[step.table].known.has(step.chain)),
    );
  }

  /** The kernel took these. */
  took(steps: readonly Step[]): void {
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

  /** The kernel may have taken some of these. `refused`: it has taken none. */
  failed(steps: readonly Step[], refused: boolean): void {
    for (const step of steps) {
      const state = this.#tables[step.table];
      if (step.kind === "replace" || step.kind === "remove") {
        state.known.set(step.chain, UNKNOWN);
        state.stale.add(step.chain);
      } else if (!refused) {
        state.blind = true;
      }
    }
  }

  /** What is in built-in chains is not known. */
  get blind(): boolean {
    return RULE_TABLES.some((table) => this.#tables[table].blind);
  }

  /** There are chains that may differ although no change names them. */
  get inDoubt(): boolean {
    return RULE_TABLES.some((table) => this.#tables[table].stale.size > 0);
  }

  /** All that was in doubt is what is wanted. */
  settle(): void {
    for (const table of RULE_TABLES) this.#tables[table].stale.clear();
  }

  /** The kernel would not delete it: it stays, without rules. */
  keep(table: RuleTable, chain: string): void {
    this.#tables[table].undeletable.set(chain, false);
  }

  /** Chains that stay, without rules, because rules of others lead to them. */
  kept({ chains }: Wanted): { readonly table: RuleTable; readonly chain: string }[] {
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

  /** Just written as it is wanted, it is printed like this. */
  accept(table: RuleTable, chain: string, words: OtherWords): void {
    this.#tables[table].otherWords.set(chain, words);
  }

  #mustStay(table: RuleTable, chain: string): boolean {
    const { referred, undeletable } = this.#tables[table];
    return referred.has(chain) || undeletable.has(chain);
  }

  *#chainSteps(table: RuleTable, names: Iterable<string>, wanted: Wanted): Generator<Step> {
    const { known } = this.#tables[table];
    for (const chain of names) {
      const there = known.has(chain);
      const before = known.get(chain);
      const text = wantedText(wanted, table, chain);
      if (isShared(table, chain)) {
        const present = new Set(linesOf(before ?? ""));
        const rules = linesOf(text ?? "").filter((rule) => !present.has(rule));
        if (rules.length > 0) yield { kind: "append", table, chain, make: !there, rules };
      } else if (text !== undefined) {
        if (before !== text) yield { kind: "replace", table, chain, text };
      } else if (there) {
        if (!this.#mustStay(table, chain)) yield { kind: "remove", table, chain };
        else if (before !== "") yield { kind: "replace", table, chain, text: "" };
      }
    }
  }

  *#jumpSteps(table: RuleTable, { jumps }: Wanted): Generator<Step> {
    const { builtIn } = this.#tables[table];
    const wanted = jumps.filter((jump) => jump.table === table);
    for (const { from, rule } of wanted) {
      if (!builtIn.get(from)?.includes(rule)) yield { kind: "jump", table, from, rule };
    }
    for (const [from, rules] of builtIn) {
      for (const [index, rule] of rules.entries()) {
        const ours = wanted.some((jump) => jump.from === from && jump.rule === rule);
        // Of several alike the first is deleted, whichever is meant.
        const surplus = ours ? rules.indexOf(rule) < index : isJumpOfOurs(table, from, rule);
        if (surplus) yield { kind: "unjump", table, from, rule };
      }
    }
  }
}

/** Undefined: there should be no such chain. */
export function wantedText(
  { chains }: Wanted,
  table: RuleTable,
  chain: string,
): ChainText | undefined {
  return chains[table].get(chain) ?? (chain === CANARY ? "" : undefined);
}

function linesOf(text: ChainText): string[] {
  return text === "" ? [] : text.split("\n");
}
