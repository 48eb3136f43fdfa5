/** Compares what the kernel holds with what it should, in all families, and makes it so. */
import { OWNER_ADOPTED, OWNER_NODE } from "../../asm/layout/owner.ts";
import type { Drift, ForeignChange } from "../backend/backend.ts";
import type { SluiceError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Core } from "../core/core.ts";
import type { ServiceId } from "../model/service.ts";
import { countAmiss, type Differences, describeChange } from "./amiss.ts";
import type { FamilyRules, RefusedRestore } from "./family.ts";
import { readOtherWords } from "./output-dialect.ts";
import { failure } from "./refusal.ts";
import { describePorts } from "./rules/port-description.ts";
import { isOverwritten, RULE_TABLES } from "./syntax/known-chains.ts";

/** Owners that one repair leaves out because the kernel refuses a rule of theirs; others wait for the next one. */
const DISOWNED_MAX = 16;

/**
 * Reads everything; what differs. Undefined: something was written or staged meanwhile, and nothing is known.
 * @throws SluiceError TOOL_FAILED
 */
export async function compare(
  families: readonly FamilyRules[],
): Promise<Differences[] | undefined> {
  const found: Differences[] = [];
  for (const family of families) {
    if ((await family.read()) === undefined) return undefined;
    found.push({
      tool: family.tool,
      steps: family.kernel.differences(family.wanted),
      gone: RULE_TABLES.filter((table) => family.kernel.chains(table).size === 0),
      mangle: !family.mangleCanary,
      kubeProxys: isOverwritten(family.kernel.chains("nat")),
    });
  }
  return found;
}

/** What a repair found and did. */
export interface Repaired extends Pick<Drift, "amiss" | "refused"> {
  /** Undefined: nothing differed. */
  readonly change: ForeignChange | undefined;
  readonly bytes: number;
  readonly restores: number;
}

/**
 * Makes everything what is committed. An owner of whom a rule is refused has nothing committed any more, so that it is
 * programmed anew, and refused in its turn.
 * @throws SluiceError RULES_REFUSED, TOOL_FAILED: it is yet to be done
 */
export async function mend(
  families: readonly FamilyRules[],
  core: Core,
  log: Logger | undefined,
): Promise<Repaired> {
  const refused: { owner: number; error: SluiceError }[] = [];
  let bytes = 0;
  let restores = 0;
  let first: Round | undefined;
  for (;;) {
    const round = await mendOnce(families, log);
    bytes += round.bytes;
    restores += round.restores;
    first ??= round;
    if (round.refused === undefined) {
      for (const { kernel } of families) kernel.settle();
      return { amiss: first.amiss, change: first.change, bytes, restores, refused };
    }
    const { family, refusal } = round.refused;
    const { owner } = refusal;
    const { error } = failure(family, refusal, nameOf(core, owner));
    if (owner === undefined || refused.length === DISOWNED_MAX) throw error;
    refused.push({ owner, error });
    disown(families, core, owner);
  }
}

interface Round extends Omit<Repaired, "refused"> {
  readonly refused: { readonly family: FamilyRules; readonly refusal: RefusedRestore } | undefined;
}

async function mendOnce(families: readonly FamilyRules[], log: Logger | undefined): Promise<Round> {
  const found = await compare(families);
  if (found === undefined) throw new Error("Something was staged while `verify` was under way");
  const amiss: Differences[] = [];
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
      return { amiss: countAmiss(found), change, bytes, restores, refused };
    }
    const same = await readOtherWords(family, before, log);
    const differing = steps.filter(
      (step) => !("chain" in step && same.has(step.table, step.chain)),
    );
    amiss.push({ ...differences, steps: differing });
  }
  const change = describeChange(amiss);
  return { amiss: countAmiss(amiss), change, bytes, restores, refused: undefined };
}

function disown(families: readonly FamilyRules[], core: Core, owner: number): void {
  const operations = core.diff(0, [owner]);
  const describe = describePorts(core);
  for (const family of families) {
    family.stage(operations, describe, false);
    family.commit();
  }
  core.commit();
}

function nameOf(core: Core, owner: number | undefined): string | undefined {
  if (owner === undefined) return undefined;
  return owner === OWNER_NODE || owner === OWNER_ADOPTED ? "" : core.serviceKey(owner as ServiceId);
}
