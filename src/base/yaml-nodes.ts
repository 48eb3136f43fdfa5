/** Reads the nodes of a YAML document as Go's go.yaml.in/yaml/v2 does. Loaded only for YAML. */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type ParsedNode,
  type Scalar,
  type ScalarTag,
  type Tags,
  type YAMLMap,
} from "yaml";

/** A node that has no JSON value. */
export class NodeFault extends Error {
  /** Position in the text. */
  readonly offset: number;

  constructor(message: string, node: unknown) {
    super(message);
    this.offset = (node as ParsedNode | null)?.range?.[0] ?? 0;
  }
}

/** Limit of the nodes that aliases repeat, against texts that grow exponentially. */
const REPEATED_NODES_MAX = 1_000_000;

export class NodeReader {
  /** Paths of keys that were set more than once. */
  readonly duplicates: string[] = [];
  readonly #document: Document;
  readonly #path: string[] = [];
  /** The aliases that are being resolved. */
  readonly #aliases: unknown[] = [];
  readonly #targets = new Map<unknown, unknown>();
  #repeated = 0;

  constructor(document: Document) {
    this.#document = document;
  }

  /** @throws NodeFault */
  read(): unknown {
    return this.#value(this.#document.contents);
  }

  #value(node: unknown): unknown {
    if (this.#aliases.length > 0 && ++this.#repeated > REPEATED_NODES_MAX) {
      throw new NodeFault("aliases repeat too much", node);
    }
    if (isAlias(node)) return this.#target(node, (target) => this.#value(target));
    if (isScalar(node)) return this.#scalar(node);
    if (isSeq(node)) return node.items.map((item) => this.#value(item));
    return isMap(node) ? this.#map(node) : null;
  }

  #scalar(node: Scalar): unknown {
    const { value } = node;
    if (typeof value !== "number" || Number.isFinite(value)) return value ?? null;
    throw new NodeFault("a number must be finite", node);
  }

  /** Assigns keys in their order, so a merge overwrites the keys before it. */
  #map(map: YAMLMap): { [name: string]: unknown } {
    const members = new Map<string, unknown>();
    for (const { key, value } of map.items) {
      if (isMergeKey(key)) this.#merge(members, value);
      else {
        const name = this.#key(key);
        this.#path.push(name);
        this.#set(members, name, this.#value(value));
        this.#path.pop();
      }
    }
    return Object.fromEntries(members);
  }

  /** Earlier maps of a list take precedence. */
  #merge(members: Map<string, unknown>, node: unknown): void {
    if (isAlias(node)) this.#target(node, (target) => this.#merge(members, target));
    else if (isSeq(node)) for (const item of node.items.toReversed()) this.#merge(members, item);
    else if (!isMap(node)) throw new NodeFault("a merge needs a mapping", node);
    else {
      for (const [name, value] of Object.entries(this.#map(node))) {
        this.#path.push(name);
        this.#set(members, name, value);
        this.#path.pop();
      }
    }
  }

  #set(members: Map<string, unknown>, name: string, value: unknown): void {
    if (members.has(name)) this.duplicates.push(this.#path.join("."));
    members.set(name, value);
  }

  #key(node: unknown): string {
    const value = isAlias(node) ? this.#value(node) : isScalar(node) ? node.value : undefined;
    if (typeof value === "string" || typeof value === "boolean") return String(value);
    if (typeof value === "number" && Number.isFinite(value)) return String(value);
    throw new NodeFault("a key must be a string, a number or a boolean", node);
  }

  /** Passes the node that an alias stands for to `use`. */
  #target<T>(alias: Alias, use: (target: unknown) => T): T {
    // The library searches the whole document.
    const target = this.#targets.get(alias) ?? alias.resolve(this.#document);
    this.#targets.set(alias, target);
    if (target === undefined) throw new NodeFault("an alias has no anchor", alias);
    if (this.#aliases.includes(target)) throw new NodeFault("a value contains itself", alias);
    this.#aliases.push(target);
    const result = use(target);
    this.#aliases.pop();
    return result;
  }
}

function isMergeKey(key: unknown): boolean {
  return isScalar(key) && key.type === "PLAIN" && key.source === "<<";
}

/** Replaces the tags of YAML 1.1 that Go's library reads in another way. */
export function goTags(tags: Tags): Tags {
  const replaced = /:(?:int|float|timestamp|binary|set|omap|pairs|merge)$/;
  const kept = tags.filter((tag) => typeof tag === "string" || !replaced.test(tag.tag));
  return [...kept, numberTag("int"), numberTag("float"), BINARY];
}

function numberTag(name: "int" | "float"): ScalarTag {
  return {
    tag: `tag:yaml.org,2002:${name}`,
    default: true,
    test: /^[-+.\d]/,
    resolve: (text) => numberOf(text) ?? text,
  };
}

const BINARY: ScalarTag = {
  tag: "tag:yaml.org,2002:binary",
  resolve: (text) => Buffer.from(text, "base64").toString("utf8"),
};

const FLOAT = /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/;

/** Digits of the numbers with these prefixes. */
const INTEGERS = [
  { pattern: /^([-+]?)0[xX]([\da-fA-F]+)$/, prefix: "0x" },
  { pattern: /^([-+]?)0[bB]([01]+)$/, prefix: "0b" },
  { pattern: /^([-+]?)0[oO]?([0-7]+)$/, prefix: "0o" },
] as const;

/** Undefined for a string. A leading zero means octal, if the digits allow it. */
function numberOf(text: string): number | undefined {
  const special = /^([-+]?)\.(?:inf|Inf|INF)$/.exec(text);
  if (special !== null) return special[1] === "-" ? -Infinity : Infinity;
  if (/^\.(?:nan|NaN|NAN)$/.test(text)) return Number.NaN;
  const plain = text.replaceAll("_", "");
  for (const { pattern, prefix } of INTEGERS) {
    const [, sign, digits] = pattern.exec(plain) ?? [];
    if (digits !== undefined) return (sign === "-" ? -1 : 1) * Number(prefix + digits);
  }
  return FLOAT.test(plain) ? Number(plain) : undefined;
}
