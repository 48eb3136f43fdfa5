/** The tools of each family that is served, what the kernel can do of what they ask for, and why it is these. */

import type { UnservedFamily } from "../backend/backend.ts";
import { rethrowDefect } from "../base/errors.ts";
import type { Family } from "../net/address.ts";
import type { Variant } from "./syntax/types.ts";
import { chooseTools } from "./tools/choose-variant.ts";
import type { SearchOptions } from "./tools/find-tools.ts";
import type { Locked } from "./tools/lock-wait.ts";
import { probeTools } from "./tools/probe-tools.ts";
import { type Features, lacksOf, SERVICE_FEATURES } from "./tools/probe-trials.ts";
import type { XtTools } from "./tools/tools.ts";

export interface FamilyEquipment {
  readonly tools: XtTools;
  readonly features: Features;
}

export interface Equipment {
  readonly variant: Variant;
  /** At least one family's. */
  readonly families: readonly FamilyEquipment[];
  readonly unserved: readonly UnservedFamily[];
  /** Of the families that are served, what does not work. */
  readonly lacks: readonly string[];
  /** For the log: which tools serve and why, and what is not served. */
  readonly facts: readonly string[];
}

/** `locked`: it waits for the xtables lock. Throws as `chooseTools` and `probeTools`; a family alone that the kernel cannot serve is a fact. */
export async function findEquipment(search: SearchOptions, locked: Locked): Promise<Equipment> {
  const { variant, why, tools, missing } = await chooseTools(search);
  const families: FamilyEquipment[] = [];
  const facts: string[] = [];
  const lacks: string[] = [];
  const unserved = [...missing];
  let unsupported: unknown;
  for (const family of [4, 6] as const satisfies readonly Family[]) {
    const found = tools[family];
    if (found === undefined) continue;
    try {
      const features = await probeTools(found, locked);
      families.push({ tools: found, features });
      facts.push(`IPv${family} is served by ${found.path} ${found.version} (${variant}): ${why}`);
      const of = (lack: string) => `IPv${family}: ${lack}`;
      facts.push(...lacksOf(features).map(of));
      lacks.push(...lacksOf(features, SERVICE_FEATURES).map(of));
    } catch (error) {
      rethrowDefect(error);
      if (error.code !== "KERNEL_UNSUPPORTED") throw error;
      unsupported ??= error;
      unserved.push({ family, code: error.code, reason: error.message });
    }
  }
  if (families.length === 0) throw unsupported;
  for (const { family, reason } of unserved) facts.push(`IPv${family} is not served: ${reason}`);
  return { variant, families, unserved, lacks, facts };
}
