/**
 * Who is at fault, while what was there before goes on serving. A legacy kernel refuses a table without a word about which
 * rule it was; halves of the Services are then tried, and what is tried must not take anything away from the others,
 * which have not been tried yet, or no more than their chains replaced. Pure.
 */
import type { Step } from "./restore-text.ts";
import { RULE_TABLES, type RuleTable } from "./syntax/known-chains.ts";
import { SCRATCH } from "./tools/probe-tools.ts";

/**
 * Of the steps of one part of the Services those that concern them alone: their own chains, and in a scratch chain that
 * nothing leads to, the rules that would lead there.
 */
export function cautious(steps: readonly Step[]): Step[] {
  const own = steps.filter(isOfOnePort);
  const shared = steps.filter((step) => step.kind === "replace" && !isOfOnePort(step));
  const trials = RULE_TABLES.flatMap((table) => trialOf(table, shared));
  return [...own, ...trials];
}

/** Others' rules have destinations, as have those of the tree and of hairpins. */
function isOfOnePort(step: Step): boolean {
  if (step.kind !== "replace" || step.table !== "nat") return false;
  return (
    /^KUBE-(SVC|SVL|SEP|EXT|FW)-[A-Z2-7]{16}$/.test(step.chain) && !/(^| )-d /m.test(step.text)
  );
}

/** Rules that are about one frontend have its port. */
function trialOf(table: RuleTable, shared: readonly Step[]): Step[] {
  const rules = shared.flatMap((step) =>
    step.kind === "replace" && step.table === table
      ? step.text.split("\n").filter((rule) => rule.includes(" --dport "))
      : [],
  );
  if (rules.length === 0) return [];
  return [{ kind: "replace", table, chain: SCRATCH, text: rules.join("\n") }];
}
