/** All chains of a family, and which of them are others than at the last commit. Pure. */
import {
  type ChainChanges,
  type Chains,
  type ChainText,
  RULE_TABLES,
  type RuleTable,
} from "../syntax/types.ts";

type Texts<Text> = { readonly [table in RuleTable]: Map<string, Text> };

export class ChainTexts {
  readonly #texts: Texts<ChainText> = { nat: new Map(), filter: new Map() };
  /** What a chain was when it was first changed; undefined: there was none. */
  readonly #before: Texts<ChainText | undefined> = { nat: new Map(), filter: new Map() };

  get chains(): Chains {
    return this.#texts;
  }

  /** Undefined: there is no such chain. */
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
    const changes = { nat: new Map(), filter: new Map() } satisfies Texts<ChainText | undefined>;
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
