/**
 * Masquerades a pod that reaches itself through a Service. Otherwise the pod would see its own
 * address as the source of the connection, and drop it. There is one rule for each endpoint address
 * of this node, in a tree.
 */
import { addressText, type FrontendKey } from "../../model/frontend-key.ts";
import { ADDRESS_BYTES, type Family } from "../../net/address.ts";
import { masqueradeTarget, type RulesetOptions } from "./fixed-chains.ts";
import { RuleTree, type TextSink } from "./rule-tree.ts";
import { hairpinLevels } from "./tree-levels.ts";

export class HairpinRules {
  readonly #bits: number;
  readonly #tree: RuleTree;

  constructor(family: Family) {
    this.#bits = ADDRESS_BYTES[family] * 8;
    this.#tree = new RuleTree(hairpinLevels(family));
  }

  /** The rules of the chain that all connections to endpoints pass. */
  get text(): string {
    return this.#tree.text;
  }

  /** Writes the rules of these addresses again; `isLocal` says which of them have one. */
  update(
    addresses: Iterable<FrontendKey>,
    isLocal: (address: FrontendKey) => boolean,
    options: RulesetOptions,
  ): void {
    for (const key of addresses) {
      const address = `${addressText(key)}/${this.#bits}`;
      const rule = `-s ${address} -d ${address} ${masqueradeTarget(options)}`;
      this.#tree.set(key, isLocal(key) ? rule : undefined);
    }
  }

  /** @see RuleTree.flush */
  flush(sink: TextSink): boolean {
    return this.#tree.flush(sink);
  }
}
