/** The input of iptables-restore --noflush, made from steps, and which step a line of it belongs to. Pure. */

import type { ChainText } from "./rules/rule-text.ts";
import { CANARY, RULE_TABLES, type RuleTable, type Xtable } from "./syntax/known-chains.ts";

/** One thing that a restore does. */
export type Step = { readonly table: RuleTable } & (
  | { readonly kind: "replace"; readonly chain: string; readonly text: ChainText }
  /** Adds these rules behind those of others, and makes the chain if there is none. */
  | {
      readonly kind: "append";
      readonly chain: string;
      readonly make: boolean;
      readonly rules: readonly string[];
    }
  /** At the top of a built-in chain. */
  | { readonly kind: "jump"; readonly from: string; readonly rule: string }
  | { readonly kind: "unjump"; readonly from: string; readonly rule: string }
  | { readonly kind: "remove"; readonly chain: string }
);

/** A line of the input: the step, and of a rule which of the chain's text it is. */
export interface Place {
  readonly step: Step;
  readonly rule: number | undefined;
}

export interface RestoreText {
  readonly text: string;
  /** Of a line counted from 1; undefined for one that is no step's own, COMMIT for instance. */
  place(line: number): Place | undefined;
  /** The words of that line. */
  words(line: number): string;
}

/**
 * Nat first, so that nobody is refused who is already served. Within a table chains are declared before any rule
 * leads to them, and deleted when no rule does any more. Each has its rules right behind it, the last name first:
 * iptables-nft-restore looks for the chain of every line from the first name on among those it has met, which at 10,000
 * Services, all of them declared first, takes 10 s of 14.
 */
export function printRestore(steps: readonly Step[]): RestoreText {
  const pieces: string[] = [];
  /** By the first of their lines, ascending. `rules`: each line is one of the step's. */
  const segments: { first: number; step: Step | undefined; rules: boolean }[] = [];
  let line = 1;
  const put = (text: string, lines: number, step?: Step, rules = false) => {
    segments.push({ first: line, step, rules });
    pieces.push(text);
    line += lines;
  };
  for (const table of RULE_TABLES) {
    const own = steps.filter((step) => step.table === table);
    if (own.length === 0) continue;
    put(`*${table}`, 1);
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
      put(step.kind === "append" ? `-N ${chain}` : `:${chain} - [0:0]`, 1, step);
    };
    for (const step of chains.sort(lastNameFirst)) {
      const { chain } = step;
      declare(chain);
      const rules = rulesOf(step);
      if (rules === "") continue;
      if (rules.includes(OURS)) {
        for (const [, target = ""] of rules.matchAll(TARGETS)) declare(target);
      }
      put(`-A ${chain} ${prefixed(chain, rules)}`, ruleCount(rules), step, true);
    }
    for (const step of own) {
      if (step.kind === "unjump") put(`-D ${step.from} ${step.rule}`, 1, step);
      else if (step.kind === "jump") put(`-I ${step.from} ${step.rule}`, 1, step);
    }
    for (const step of own) if (step.kind === "remove") put(`-X ${step.chain}`, 1, step);
    put("COMMIT", 1);
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

/** Makes the canary of a table, or empties it. */
export function printCanary(table: Xtable): string {
  return `*${table}\n:${CANARY} - [0:0]\nCOMMIT\n`;
}

/** The index of the last segment that begins at this line or before it. */
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

/** Where rules lead; and what looks like it within a comment, which does no harm. */
const TARGETS = /-j (KUBE-\S+)/g;
/** Most chains lead to none of ours, which is told soonest so. */
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
