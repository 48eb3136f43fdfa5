/**
 * Prints the input of iptables-restore --noflush from steps, and finds the step that a line of it
 * belongs to. Pure.
 */

import type { ChainText } from "./rules/rule-text.ts";
import { CANARY, type IptablesTable, RULE_TABLES, type RuleTable } from "./syntax/known-chains.ts";

/** One change that a restore makes. */
export type Step = { readonly table: RuleTable } & (
  | { readonly kind: "replace"; readonly chain: string; readonly text: ChainText }
  /** Adds rules after the rules of other programs. `make`: the chain does not exist yet. */
  | {
      readonly kind: "append";
      readonly chain: string;
      readonly make: boolean;
      readonly rules: readonly string[];
    }
  /** Inserts a rule at the top of a built-in chain. */
  | { readonly kind: "jump"; readonly from: string; readonly rule: string }
  | { readonly kind: "unjump"; readonly from: string; readonly rule: string }
  | { readonly kind: "remove"; readonly chain: string }
);

/** The step and rule that a line belongs to. */
export interface RuleLocation {
  readonly step: Step;
  /** For a rule, its index in the text of the chain. */
  readonly rule: number | undefined;
}

export interface RestoreText {
  readonly text: string;
  /** `line` counts from 1. Undefined for a line that belongs to no single step, such as COMMIT. */
  place(line: number): RuleLocation | undefined;
  /** The text of the line. */
  words(line: number): string;
}

/**
 * Prints the steps. The table nat comes first, so that a Service with a first endpoint is served
 * before its REJECT rule disappears. Within a table, chains are declared before a rule leads to
 * them, and deleted when no rule leads to them.
 *
 * Each chain's rules follow its declaration, and chains come in reverse order of their names.
 * For every line, iptables-nft-restore searches all chains that it has read so far, in the order of
 * their names. If all chains of 10,000 Services are declared first, this search takes 10 s of 14 s.
 */
export function printRestore(steps: readonly Step[]): RestoreText {
  const pieces: string[] = [];
  /** Sorted by first line. `rules`: each line is a rule of the step. */
  const segments: { first: number; step: Step | undefined; rules: boolean }[] = [];
  let line = 1;
  const append = (text: string, lines: number, step?: Step, rules = false) => {
    segments.push({ first: line, step, rules });
    pieces.push(text);
    line += lines;
  };
  for (const table of RULE_TABLES) {
    const own = steps.filter((step) => step.table === table);
    if (own.length === 0) continue;
    append(`*${table}`, 1);
    const chains = own.filter((step) => "chain" in step);
    const undeclared = new Map(
      chains
        .filter((step) => step.kind !== "append" || step.make)
        .map((step) => [step.chain, step]),
    );
    const declare = (chain: string) => {
      const step = undeclared.get(chain);
      if (step === undefined) return;
      undeclared.delete(chain);
      append(step.kind === "append" ? `-N ${chain}` : `:${chain} - [0:0]`, 1, step);
    };
    for (const step of chains.sort(lastNameFirst)) {
      const { chain } = step;
      declare(chain);
      const rules = rulesOf(step);
      if (rules === "") continue;
      if (rules.includes(OURS)) {
        for (const [, target = ""] of rules.matchAll(TARGETS)) declare(target);
      }
      append(`-A ${chain} ${prefixed(chain, rules)}`, ruleCount(rules), step, true);
    }
    for (const step of own) {
      if (step.kind === "unjump") append(`-D ${step.from} ${step.rule}`, 1, step);
      else if (step.kind === "jump") append(`-I ${step.from} ${step.rule}`, 1, step);
    }
    for (const step of own) if (step.kind === "remove") append(`-X ${step.chain}`, 1, step);
    append("COMMIT", 1);
  }
  const text = `${pieces.join("\n")}\n`;
  let source: readonly string[] | undefined;
  return {
    text,
    place(wanted) {
      if (wanted < 1 || wanted >= line) return undefined;
      const segment = segments[lastUpTo(segments, wanted)];
      if (segment?.step === undefined) return undefined;
      return { step: segment.step, rule: segment.rules ? wanted - segment.first : undefined };
    },
    words(wanted) {
      source ??= text.split("\n");
      return source[wanted - 1] ?? "";
    },
  };
}

/** Creates the canary of a table, or empties it if it exists. */
export function printCanary(table: IptablesTable): string {
  return `*${table}\n:${CANARY} - [0:0]\nCOMMIT\n`;
}

/** The index of the last segment that begins at or before `line`. */
function lastUpTo(segments: readonly { readonly first: number }[], line: number): number {
  let low = 0;
  let high = segments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((segments[middle]?.first ?? Infinity) <= line) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

type ChainStep = Extract<Step, { readonly chain: string }>;

function lastNameFirst(a: ChainStep, b: ChainStep): number {
  return a.chain < b.chain ? 1 : -1;
}

/** The chains that rules lead to. A match within a comment is harmless. */
const TARGETS = /-j (KUBE-\S+)/g;
/** Cheap first test: most chains do not lead to ours. */
const OURS = "-j KUBE-";

function rulesOf(step: ChainStep): ChainText {
  if (step.kind === "replace") return step.text;
  return step.kind === "append" ? step.rules.join("\n") : "";
}

function prefixed(chain: string, text: ChainText): string {
  return text.replaceAll("\n", `\n-A ${chain} `);
}

export function ruleCount(text: ChainText): number {
  if (text === "") return 0;
  let count = 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}
