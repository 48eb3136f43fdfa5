/** What a comparison came to, in words and numbers for whoever reads logs and metrics. Pure. */
import type { Drift, DriftObject, ForeignChange } from "../backend/backend.ts";
import type { Step } from "./restore-text.ts";
import { CANARY, KUBE_PROXY, RULE_TABLES, type RuleTable } from "./syntax/known-chains.ts";

/** So many are named; more are counted. */
const NAMED_MAX = 8;

/** What differs in one family. */
export interface Differences {
  /** `iptables` or `ip6tables` */
  readonly tool: string;
  /** What it takes to mend it. */
  readonly steps: readonly Step[];
  /** Tables without a single chain of ours. */
  readonly gone: readonly RuleTable[];
  /** The canary in the mangle table is gone. */
  readonly mangle: boolean;
  /** Our chains were written by a kube-proxy. */
  readonly kubeProxys: boolean;
}

/** How many objects differ; of a table without our chains the table alone counts. */
export function countAmiss(found: readonly Differences[]): Drift["amiss"] {
  const amiss: { [kind in DriftObject]?: number } = {};
  const count = (kind: DriftObject, objects: number) => {
    if (objects > 0) amiss[kind] = (amiss[kind] ?? 0) + objects;
  };
  for (const { steps, gone, mangle } of found) {
    count("table", gone.length);
    count("chain", objectsOf(steps, gone).length + (mangle ? 1 : 0));
  }
  return amiss;
}

/** Undefined: nothing differs. */
export function describeChange(found: readonly Differences[]): ForeignChange | undefined {
  const names: string[] = [];
  for (const { tool, steps, gone, mangle } of found) {
    for (const table of gone) names.push(`all chains of ${tool} ${table}`);
    for (const object of objectsOf(steps, gone)) names.push(`${tool} ${object}`);
    if (mangle) names.push(`${tool} mangle ${CANARY}`);
  }
  if (names.length === 0) return undefined;
  const named = names.slice(0, NAMED_MAX);
  const more = names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : "";
  const by = found.some(({ kubeProxys }) => kubeProxys) ? KUBE_PROXY : "somebody";
  return { what: `${named.join(", ")}${more}`, by, objects: named };
}

/** Each chain once: `nat KUBE-SERVICES`; a built-in one for a jump. */
function objectsOf(steps: readonly Step[], gone: readonly RuleTable[]): string[] {
  const objects = new Set<string>();
  for (const step of steps) {
    if (gone.includes(step.table)) continue;
    objects.add(`${step.table} ${"from" in step ? step.from : step.chain}`);
  }
  return [...objects].sort((a, b) => order(a) - order(b));
}

function order(object: string): number {
  return RULE_TABLES.findIndex((table) => object.startsWith(`${table} `));
}
