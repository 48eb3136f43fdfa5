/** Parses the output of iptables-save, and prints the removal of chains. Pure. */
import type { JumpParts } from "./jumps.ts";

export interface IptablesChain {
  readonly name: string;
  /** A built-in chain: PREROUTING and so on. */
  readonly base: boolean;
  /** Its policy is DROP. Only built-in chains have a policy. */
  readonly drops: boolean;
}

/**
 * A rule. `id` identifies it for deletion: its handle in nf_tables, or its text in a legacy table.
 */
export interface IptablesRule<Id> extends JumpParts {
  readonly id: Id;
  /** The packet mark that the rule matches; undefined if it matches none. */
  readonly mark: number | undefined;
}

export interface SavedTable {
  readonly chains: readonly IptablesChain[];
  /** By chain. The id of a rule is its text after `-A CHAIN `. */
  readonly rules: ReadonlyMap<string, readonly IptablesRule<string>[]>;
}

/** Parses the output of `iptables-save -t TABLE` or `iptables -S CHAIN`. */
export function parseSaved(text: string): SavedTable {
  const chains: IptablesChain[] = [];
  const rules = new Map<string, IptablesRule<string>[]>();
  for (const line of text.split("\n")) {
    const chain = /^(?::|-[PN] )(\S+)(?: (\S+))?/.exec(line);
    if (chain?.[1] !== undefined) {
      // iptables-save prints - as the policy of a chain that is not built in.
      const [, name, policy = "-"] = chain;
      chains.push({ name, base: policy !== "-", drops: policy === "DROP" });
    }
    const rule = /^-A (\S+)(?: (.*))?$/.exec(line);
    if (rule?.[1] === undefined) continue;
    const list = rules.get(rule[1]) ?? [];
    rules.set(rule[1], list);
    list.push(parseRule(rule[2] ?? ""));
  }
  return { chains, rules };
}

function parseRule(id: string): IptablesRule<string> {
  let target: string | undefined;
  let comment: string | undefined;
  let mark: number | undefined;
  let before = "";
  for (const [word, quoted] of id.matchAll(/"((?:[^"\\]|\\.)*)"|\S+/g)) {
    const value = quoted === undefined ? word : quoted.replaceAll(/\\(.)/g, "$1");
    if (before === "-j" || before === "-g") target ??= value;
    if (before === "--comment") comment ??= value;
    if (before === "--mark") mark ??= Number.parseInt(value, 16);
    // A comment may look like an option.
    before = quoted === undefined && before !== "--comment" ? word : "";
  }
  return { id, target, comment, mark, text: id };
}

/** Jumps and chains to delete from a table. */
export interface Removable<Id> {
  /** Rules of built-in chains that lead to `chains`. */
  readonly jumps: readonly { readonly chain: string; readonly id: Id }[];
  /** Chains that no rules lead to except the jumps and rules inside these chains. */
  readonly chains: readonly string[];
}

/**
 * Prints input for `iptables-restore --noflush` that empties the chains, deletes the jumps, then
 * deletes the chains. The restore does all of it or nothing.
 */
export function printRemoval(table: string, { jumps, chains }: Removable<string>): string {
  return [
    `*${table}`,
    ...chains.map((chain) => `:${chain} - [0:0]`),
    ...jumps.map(({ chain, id }) => `-D ${chain} ${id}`),
    ...chains.map((chain) => `-X ${chain}`),
    "COMMIT",
    "",
  ].join("\n");
}
