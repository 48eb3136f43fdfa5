/** The first look at what the kernel holds, and what is made beside it at once. */

import type { Adoption } from "../backend/backend.ts";
import type { Logger } from "../base/log.ts";
import type { FamilyRules, FoundChains } from "./family.ts";
import { failure } from "./refusal.ts";
import type { Variant } from "./syntax/known-chains.ts";
import { LockWaitingTools, logLocked } from "./tools/lock-wait.ts";
import type { FamilyTools } from "./tools/toolset.ts";

export interface Begun {
  readonly families: readonly FamilyRules[];
  /** By family. */
  readonly found: readonly (FoundChains | undefined)[];
}

/**
 * Each family believes what the kernel holds, and has its canaries and the chains that are missing, however long others hold
 * the xtables lock.
 * @throws SluiceError TOOL_FAILED, RULES_REFUSED
 */
export async function beginFamilies(
  toolset: readonly FamilyTools[],
  make: (toolset: FamilyTools) => FamilyRules,
  log: Logger | undefined,
): Promise<Begun> {
  const locked = logLocked(log);
  const families = [];
  const found = [];
  for (const { tools, features } of toolset) {
    const waiting = new LockWaitingTools(tools, locked);
    const family = make({ tools: waiting, features });
    families.push(family);
    found.push(await family.read());
    const { refused } = await family.write(family.kernel.missing(family.wanted));
    if (refused !== undefined) throw failure(family, refused, undefined).error;
    if (!(await family.placeMangleCanary())) {
      log?.warn("There is no table mangle; a flush is known by the other tables alone", {
        tool: family.tools.path,
      });
    }
    waiting.stopWaiting();
  }
  return { families, found };
}

export function adoptionOf(
  found: readonly (FoundChains | undefined)[],
  variant: Variant,
): Adoption {
  const what = `the chains of iptables-${variant}`;
  if (!found.some((one) => one?.serves)) return { outcome: "fresh", what, elements: 0 };
  if (!found.some((one) => one?.fromSluice)) return { outcome: "replaced", what, elements: 0 };
  const elements = found.reduce((sum, one) => sum + (one?.chains ?? 0), 0);
  return { outcome: "adopted", what, elements };
}
