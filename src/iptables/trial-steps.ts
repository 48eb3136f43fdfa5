/**
 * Makes a restore harmless, so that the Service with a refused rule can be found while the existing
 * chains keep serving. A legacy kernel refuses a table without naming the rule, so
 * sync/programmer.ts tries halves of the Services. A trial may replace the chains of its own
 * Services. It must not remove anything from Services that have not been tried yet. Pure.
 */
import type { Step } from "./restore-text.ts";
import { RULE_TABLES, type RuleTable } from "./syntax/known-chains.ts";
import { SCRATCH_CHAIN } from "./tools/probe-tools.ts";

/**
 * The steps of a trial. The steps for the Services' own chains stay. The rules that would lead to
 * these chains go into a scratch chain that no rule leads to.
 */
export function trialSteps(steps: readonly Step[]): Step[] {
  const own = steps.filter(isForOnePort);
  const shared = steps.filter((step) => step.kind === "replace" && !isForOnePort(step));
  const trials = RULE_TABLES.flatMap((table) => trialOf(table, shared));
  return [...own, ...trials];
}

/** Only chains of a tree have rules with destinations. Chains of one port have none. */
function isForOnePort(step: Step): boolean {
  if (step.kind !== "replace" || step.table !== "nat") return false;
  return (
    /^KUBE-(SVC|SVL|SEP|EXT|FW)-[A-Z2-7]{16}$/.test(step.chain) && !/(^| )-d /m.test(step.text)
  );
}

/** Only rules for a single frontend match a port, so only rules with a port need a trial. */
function trialOf(table: RuleTable, shared: readonly Step[]): Step[] {
  const rules = shared.flatMap((step) =>
    step.kind === "replace" && step.table === table
      ? step.text.split("\n").filter((rule) => rule.includes(" --dport "))
      : [],
  );
  if (rules.length === 0) return [];
  return [{ kind: "replace", table, chain: SCRATCH_CHAIN, text: rules.join("\n") }];
}
