/**
 * Arranges rules in a tree of chains, so that a packet passes only a few of them. A chain with more
 * than CHAIN_RULES rules is divided into chains for groups of keys, recursively. The shape of the
 * tree depends only on its rules, not on the history. Pure.
 */
import { compareKeys, type FrontendKey } from "../../model/frontend-key.ts";

/** A chain with more rules than this is divided. */
export const CHAIN_RULES = 16;

/** One level of division. */
export interface TreeLevel {
  /** A group with fewer rules stays in the parent chain. */
  readonly least: number;
  /** The common part of all keys in the group. */
  group(key: FrontendKey): FrontendKey;
  /** The chain that holds the group of this key. */
  chain(key: FrontendKey): string;
  /** The rule that leads to this chain, without its target. */
  match(key: FrontendKey): string;
}

/** Receives the text of a chain; undefined if the chain no longer exists. */
export type TextSink = (chain: string, text: string | undefined) => void;

interface TreeNode {
  /** The key of one of its rules. */
  readonly key: FrontendKey;
  /** Depth in the tree; the root has depth 0. */
  readonly depth: number;
  count: number;
  /** Empty if the node is divided. */
  rules: Map<FrontendKey, string>;
  groups: Map<FrontendKey, TreeNode> | undefined;
  /** The node has a chain of its own. */
  chain: boolean;
  dirty: boolean;
}

export class RuleTree {
  readonly #levels: readonly TreeLevel[];
  readonly #root: TreeNode = newNode(0, 0);
  /** Chains of removed nodes. */
  #gone: string[] = [];
  #text = "";

  constructor(levels: readonly TreeLevel[]) {
    this.#levels = levels;
  }

  get size(): number {
    return this.#root.count;
  }

  /** The rules of the root, as of the last `flush`. The caller names their chain. */
  get text(): string {
    return this.#text;
  }

  /** Sets the rule of a key; undefined removes it. */
  set(key: FrontendKey, rule: string | undefined): void {
    const before = this.#get(key);
    if (before === rule) return;
    if (rule === undefined) this.#remove(this.#root, key);
    else this.#put(this.#root, key, rule, before === undefined);
  }

  /**
   * Passes on the chains that changed since the last call, removed ones first. Reports whether the
   * rules of the root changed.
   */
  flush(sink: TextSink): boolean {
    const written = new Map<string, string>();
    if (this.#root.dirty) {
      const before = this.#text;
      this.#text = this.#render(this.#root, written);
      for (const chain of this.#gone) if (!written.has(chain)) sink(chain, undefined);
      this.#gone = [];
      for (const [chain, text] of written) sink(chain, text);
      return this.#text !== before;
    }
    return false;
  }

  #get(key: FrontendKey): string | undefined {
    let node: TreeNode | undefined = this.#root;
    while (node?.groups !== undefined) node = node.groups.get(this.#level(node).group(key));
    return node?.rules.get(key);
  }

  #put(node: TreeNode, key: FrontendKey, rule: string, isNew: boolean): void {
    node.dirty = true;
    if (isNew) node.count++;
    if (node.groups !== undefined) {
      this.#put(this.#child(node, node.groups, key), key, rule, isNew);
      return;
    }
    node.rules.set(key, rule);
    if (node.count <= CHAIN_RULES || node.depth === this.#levels.length) return;
    node.groups = new Map();
    for (const [each, text] of node.rules) {
      this.#put(this.#child(node, node.groups, each), each, text, true);
    }
    node.rules = new Map();
  }

  #child(node: TreeNode, groups: Map<FrontendKey, TreeNode>, key: FrontendKey): TreeNode {
    const group = this.#level(node).group(key);
    let child = groups.get(group);
    if (child === undefined) {
      child = newNode(key, node.depth + 1);
      groups.set(group, child);
    }
    return child;
  }

  #remove(node: TreeNode, key: FrontendKey): void {
    node.dirty = true;
    node.count--;
    if (node.groups === undefined) {
      node.rules.delete(key);
      return;
    }
    const group = this.#level(node).group(key);
    const child = node.groups.get(group) as TreeNode;
    this.#remove(child, key);
    if (child.count === 0) {
      node.groups.delete(group);
      this.#drop(child);
    }
    if (node.count > CHAIN_RULES) return;
    const { groups } = node;
    node.groups = undefined;
    for (const each of groups.values()) this.#collect(each, node.rules);
  }

  /** Moves all rules of a node into `rules`. */
  #collect(node: TreeNode, rules: Map<FrontendKey, string>): void {
    this.#drop(node);
    for (const [key, rule] of node.rules) rules.set(key, rule);
    if (node.groups !== undefined) {
      for (const child of node.groups.values()) this.#collect(child, rules);
    }
  }

  #drop(node: TreeNode): void {
    if (node.chain) this.#gone.push(this.#chainOf(node));
    node.chain = false;
  }

  #render(node: TreeNode, written: Map<string, string>): string {
    node.dirty = false;
    const rules = [...node.rules];
    for (const child of node.groups?.values() ?? []) {
      const level = this.#level(node);
      if (child.count < level.least) {
        this.#drop(child);
        child.dirty = false;
        // A group this small has no subgroups.
        rules.push(...child.rules);
        continue;
      }
      const chain = level.chain(child.key);
      rules.push([child.key, `${level.match(child.key)} -j ${chain}`]);
      if (child.dirty || !child.chain) written.set(chain, this.#render(child, written));
      child.chain = true;
    }
    return rules
      .sort(([a], [b]) => compareKeys(a, b))
      .map(([, rule]) => rule)
      .join("\n");
  }

  #level(node: TreeNode): TreeLevel {
    return this.#levels[node.depth] as TreeLevel;
  }

  #chainOf(node: TreeNode): string {
    return (this.#levels[node.depth - 1] as TreeLevel).chain(node.key);
  }
}

/** The rules of a chain that needs no tree, because few packets pass it or it has few rules. */
export class RuleList {
  readonly #rules = new Map<FrontendKey, string>();
  #dirty = false;

  /** Sets the rule of a key; undefined removes it. */
  set(key: FrontendKey, rule: string | undefined): void {
    if (this.#rules.get(key) === rule) return;
    if (rule === undefined) this.#rules.delete(key);
    else this.#rules.set(key, rule);
    this.#dirty = true;
  }

  /**
   * The rules in the order of their keys; undefined if they have not changed since the last call.
   */
  takeChanged(): string[] | undefined {
    if (!this.#dirty) return undefined;
    this.#dirty = false;
    return [...this.#rules].sort(([a], [b]) => compareKeys(a, b)).map(([, rule]) => rule);
  }
}

function newNode(key: FrontendKey, depth: number): TreeNode {
  return { key, depth, count: 0, rules: new Map(), groups: undefined, chain: false, dirty: true };
}
