/** Holds the text of all chains of a family, and the changes since the last commit. Pure. */
import { type PerTable, perTable, RULE_TABLES, type RuleTable } from "../syntax/known-chains.ts";
import type { ChainText } from "./rule-text.ts";

/** All chains of a family by name. */
export type Chains = PerTable<ReadonlyMap<string, ChainText>>;

/** The new text of each changed chain; undefined if the chain no longer exists. */
export type ChainChanges = PerTable<ReadonlyMap<string, ChainText | undefined>>;

export class ChainTexts {
  readonly #texts = perTable(() => new Map<string, ChainText>());
  /** The text of a chain before its first change; undefined: the chain did not exist. */
  readonly #before = perTable(() => new Map<string, ChainText | undefined>());

  get chains(): Chains {
    return this.#texts;
  }

  /** Sets the text of a chain; undefined removes the chain. */
  set(table: RuleTable, chain: string, text: ChainText | undefined): void {
    const texts = this.#texts[table];
    const current = texts.get(chain);
    if (current === text) return;
    const before = this.#before[table];
    if (!before.has(chain)) before.set(chain, current);
    if (text === undefined) texts.delete(chain);
    else texts.set(chain, text);
  }

  changes(): ChainChanges {
    const changes = perTable(() => new Map<string, ChainText | undefined>());
    for (const table of RULE_TABLES) {
      for (const [chain, before] of this.#before[table]) {
        const text = this.#texts[table].get(chain);
        if (text !== before) changes[table].set(chain, text);
      }
    }
    return changes;
  }

  commit(): void {
    for (const table of RULE_TABLES) this.#before[table].clear();
  }
}
