/** Rules of one chain that are not worth a tree: few packets pass there, or few rules are in it. Pure. */
import { compareKeys, type Key } from "./keys.ts";

export class RuleList {
  readonly #rules = new Map<Key, string>();
  #dirty = false;

  /** Puts a rule at its key, or takes away what is there. */
  set(key: Key, rule: string | undefined): void {
    if (this.#rules.get(key) === rule) return;
    if (rule === undefined) this.#rules.delete(key);
    else this.#rules.set(key, rule);
    this.#dirty = true;
  }

  /** The rules in the order of their keys, if they are others than at the last call. */
  takeChanged(): string[] | undefined {
    if (!this.#dirty) return undefined;
    this.#dirty = false;
    return [...this.#rules].sort(([a], [b]) => compareKeys(a, b)).map(([, rule]) => rule);
  }
}
