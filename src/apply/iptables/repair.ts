/** Compares what the kernel holds with what it should, in all families, and makes it so. */
import type { Logger } from "../../log.ts";
import { isOverwritten } from "../kube-proxy/chains.ts";
import { countAmiss, type Differences, describeChange } from "./amiss.ts";
import { readOtherWords } from "./confirm.ts";
import type { FamilyRules, RefusedRestore } from "./family.ts";
import { RULE_TABLES } from "./types.ts";

/** Reads everything; what differs. @throws SluiceError TOOL_FAILED */
export async function compare(families: readonly FamilyRules[]): Promise<Differences[]> {
  const found: Differences[] = [];
  for (const family of families) {
    await family.read();
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

/** What a repair came to. */
export interface Repaired {
  readonly amiss: ReturnType<typeof countAmiss>;
  readonly change: ReturnType<typeof describeChange>;
  readonly bytes: number;
  readonly restores: number;
  /** It is yet to be done. */
  readonly refused: { readonly family: FamilyRules; readonly refusal: RefusedRestore } | undefined;
}

/** Reads everything, and writes what differs. @throws SluiceError TOOL_FAILED */
export async function mend(
  families: readonly FamilyRules[],
  log: Logger | undefined,
): Promise<Repaired> {
  const found = await compare(families);
  const amiss: Differences[] = [];
  let bytes = 0;
  let restores = 0;
  for (const [index, family] of families.entries()) {
    const { steps, mangle, ...rest } = found[index] as Differences;
    if (mangle) await family.placeMangleCanary();
    const before = family.printed(steps);
    const written = await family.write(steps);
    bytes += written.bytes;
    restores += steps.length > 0 ? 1 : 0;
    if (written.refused !== undefined) {
      const change = describeChange(found);
      const refused = { family, refusal: written.refused };
      return { amiss: countAmiss(found), change, bytes, restores, refused };
    }
    const words = await readOtherWords(family, before, log);
    const differing = steps.filter(
      (step) => !("chain" in step && words.has(step.table, step.chain)),
    );
    amiss.push({ ...rest, steps: differing, mangle });
  }
  return {
    ...{ amiss: countAmiss(amiss), change: describeChange(amiss), bytes, restores },
    refused: undefined,
  };
}
