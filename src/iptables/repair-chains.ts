/** Compares the chains in the kernel with the wanted ones, in all families, and repairs them. */
import type { Drift, DriftObject, ForeignChange } from "../backend/drift.ts";
import type { SluiceError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Core } from "../core/core.ts";
import { isServiceOwner, type OwnerId } from "../model/owner.ts";
import type { FamilyRules, RefusedRestore } from "./family-rules.ts";
import { acceptDialect } from "./output-dialect.ts";
import type { Step } from "./restore-text.ts";
import { describePorts } from "./rules/port-description.ts";
import {
  CANARY,
  isOverwrittenByKubeProxy,
  KUBE_PROXY,
  RULE_TABLES,
  type RuleTable,
} from "./syntax/known-chains.ts";

/** A repair leaves out at most this many owners with rules that the kernel refuses. */
const RELEASED_MAX = 16;
/** A description names at most this many objects and counts the rest. */
const NAMED_MAX = 8;

/** The differences in one family. */
export interface Differences {
  /** `iptables` or `ip6tables` */
  readonly tool: string;
  /** The steps that repair it. */
  readonly steps: readonly Step[];
  /** Tables without a single chain of ours. */
  readonly missingTables: readonly RuleTable[];
  /** The canary in the table mangle has disappeared. */
  readonly mangleCanaryMissing: boolean;
  /** A kube-proxy wrote our chains. */
  readonly writtenByKubeProxy: boolean;
}

/**
 * Reads all chains and finds the differences. Resolves to undefined if something was written or
 * staged meanwhile, because the result is then meaningless.
 * @throws SluiceError TOOL_FAILED
 */
export async function compareFamilies(
  families: readonly FamilyRules[],
): Promise<Differences[] | undefined> {
  const found: Differences[] = [];
  for (const family of families) {
    if ((await family.read()) === undefined) return undefined;
    found.push({
      tool: family.tool,
      steps: family.kernel.differences(family.wanted),
      missingTables: RULE_TABLES.filter((table) => family.kernel.chains(table).size === 0),
      mangleCanaryMissing: !family.mangleCanary,
      writtenByKubeProxy: isOverwrittenByKubeProxy(family.kernel.chains("nat")),
    });
  }
  return found;
}

/** The changes that a repair found, and its restores. */
export interface ChainRepair extends Pick<Drift, "driftedCounts" | "refused"> {
  /** Undefined if nothing differed. */
  readonly change: ForeignChange | undefined;
  readonly bytes: number;
  readonly restores: number;
}

/**
 * Repairs drift from the committed rules. If the kernel refuses a rule, the committed elements of
 * its owner are dropped. The owner is then programmed again, and refused separately.
 * @throws SluiceError RULES_REFUSED, TOOL_FAILED: the repair is incomplete
 */
export async function repairFamilies(
  families: readonly FamilyRules[],
  core: Core,
  log: Logger | undefined,
): Promise<ChainRepair> {
  const refused: { owner: OwnerId; error: SluiceError }[] = [];
  let bytes = 0;
  let restores = 0;
  let first: Attempt | undefined;
  for (;;) {
    const attempt = await repairOnce(families, log);
    bytes += attempt.bytes;
    restores += attempt.restores;
    first ??= attempt;
    if (attempt.refused === undefined) {
      for (const { kernel } of families) kernel.clearStale();
      return { driftedCounts: first.driftedCounts, change: first.change, bytes, restores, refused };
    }
    const { family, refusal } = attempt.refused;
    const { owner } = refusal;
    const { error } = family.failureOf(refusal, ownerName(core, owner));
    if (owner === undefined || refused.length === RELEASED_MAX) throw error;
    refused.push({ owner, error });
    releaseOwnerRules(families, core, owner);
  }
}

interface Attempt extends Omit<ChainRepair, "refused"> {
  readonly refused: { readonly family: FamilyRules; readonly refusal: RefusedRestore } | undefined;
}

async function repairOnce(
  families: readonly FamilyRules[],
  log: Logger | undefined,
): Promise<Attempt> {
  const found = await compareFamilies(families);
  if (found === undefined) throw new Error("a change was staged during `verify`");
  const drifted: Differences[] = [];
  let bytes = 0;
  let restores = 0;
  for (const [index, differences] of found.entries()) {
    const family = families[index] as FamilyRules;
    const { steps } = differences;
    await family.placeMangleCanary();
    const before = family.printed(steps);
    const written = await family.write(steps);
    bytes += written.bytes;
    restores += steps.length > 0 ? 1 : 0;
    if (written.refused !== undefined) {
      const refused = { family, refusal: written.refused };
      const change = describeChange(found);
      return { driftedCounts: countDrifted(found), change, bytes, restores, refused };
    }
    const dialect = await acceptDialect(family, before, log);
    const differing = steps.filter(
      (step) => !("chain" in step && dialect.has(step.table, step.chain)),
    );
    drifted.push({ ...differences, steps: differing });
  }
  const change = describeChange(drifted);
  return { driftedCounts: countDrifted(drifted), change, bytes, restores, refused: undefined };
}

/** Drops the owner's committed elements, from the rules and from the core. */
function releaseOwnerRules(families: readonly FamilyRules[], core: Core, owner: OwnerId): void {
  const operations = core.diff(0, [owner]);
  const describe = describePorts((id) => (isServiceOwner(id) ? core.readService(id) : undefined));
  for (const family of families) {
    family.stage(operations, describe, false);
    family.commit();
  }
  core.commit();
}

function ownerName(core: Core, owner: OwnerId | undefined): string | undefined {
  if (owner === undefined) return undefined;
  return isServiceOwner(owner) ? core.serviceKey(owner) : "";
}

/** Describes differences for the log; undefined if nothing differs. */
export function describeChange(found: readonly Differences[]): ForeignChange | undefined {
  const names: string[] = [];
  for (const { tool, steps, missingTables, mangleCanaryMissing } of found) {
    for (const table of missingTables) names.push(`all chains of ${tool} ${table}`);
    for (const object of objectsOf(steps, missingTables)) names.push(`${tool} ${object}`);
    if (mangleCanaryMissing) names.push(`${tool} mangle ${CANARY}`);
  }
  if (names.length === 0) return undefined;
  const named = names.slice(0, NAMED_MAX);
  const more = names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : "";
  const by = found.some(({ writtenByKubeProxy }) => writtenByKubeProxy) ? KUBE_PROXY : "unknown";
  return { what: `${named.join(", ")}${more}`, by, objects: named };
}

/** Counts the objects that differ. A table without chains of ours counts as one object. */
function countDrifted(found: readonly Differences[]): Drift["driftedCounts"] {
  const drifted: { [kind in DriftObject]?: number } = {};
  const count = (kind: DriftObject, objects: number) => {
    if (objects > 0) drifted[kind] = (drifted[kind] ?? 0) + objects;
  };
  for (const { steps, missingTables, mangleCanaryMissing } of found) {
    count("table", missingTables.length);
    count("chain", objectsOf(steps, missingTables).length + (mangleCanaryMissing ? 1 : 0));
  }
  return drifted;
}

/** The chains that the steps concern, without duplicates: `nat KUBE-SERVICES`, `nat PREROUTING`. */
function objectsOf(steps: readonly Step[], missingTables: readonly RuleTable[]): string[] {
  const objects = new Set<string>();
  for (const step of steps) {
    if (missingTables.includes(step.table)) continue;
    objects.add(`${step.table} ${"from" in step ? step.from : step.chain}`);
  }
  return [...objects].sort((a, b) => tableOrder(a) - tableOrder(b));
}

function tableOrder(object: string): number {
  return RULE_TABLES.findIndex((table) => object.startsWith(`${table} `));
}
