/** The tools of each family that is served, what the kernel can do of what they ask for, and why it is these. */
import { rethrowDefect } from "../../errors.ts";
import type { Family } from "../../plan/tables.ts";
import { chooseTools } from "./tools/choose.ts";
import type { SearchOptions } from "./tools/find-tools.ts";
import { probeTools } from "./tools/probe.ts";
import { type Features, lacksOf } from "./tools/probe-trials.ts";
import type { XtTools } from "./tools/tools.ts";
import type { Variant } from "./types.ts";

export interface FamilyEquipment {
  readonly tools: XtTools;
  readonly features: Features;
}

export interface Equipment {
  readonly variant: Variant;
  /** At least one family's. */
  readonly families: readonly FamilyEquipment[];
  /** For the log: which tools serve and why, and which family cannot be served. */
  readonly facts: readonly string[];
}

/** Throws as `chooseTools` and `probeTools`; a family alone that the kernel cannot serve is a fact. */
export async function findEquipment(search: SearchOptions): Promise<Equipment> {
  const { variant, why, tools, missing } = await chooseTools(search);
  const families: FamilyEquipment[] = [];
  const facts: string[] = [];
  const absent = [...missing];
  let unsupported: unknown;
  for (const family of [4, 6] as const satisfies readonly Family[]) {
    const found = tools[family];
    if (found === undefined) continue;
    try {
      const features = await probeTools(found);
      families.push({ tools: found, features });
      facts.push(`IPv${family} is served by ${found.path} ${found.version} (${variant}): ${why}`);
      facts.push(...lacksOf(features).map((lack) => `IPv${family}: ${lack}`));
    } catch (error) {
      rethrowDefect(error);
      if (error.code !== "KERNEL_UNSUPPORTED") throw error;
      unsupported ??= error;
      absent.push({ family, reason: error.message });
    }
  }
  if (families.length === 0) throw unsupported;
  for (const { family, reason } of absent) facts.push(`IPv${family} is not served: ${reason}`);
  return { variant, families, facts };
}
