/**
 * Chooses the tools for each family, and records the kernel's features and the reasons for the
 * choice.
 */

import type { UnservedFamily } from "../../backend/capabilities.ts";
import { rethrowDefect } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import type { Variant } from "../syntax/known-chains.ts";
import { chooseTools } from "./choose-variant.ts";
import type { SearchOptions } from "./find-tools.ts";
import type { OnLocked } from "./lock-wait.ts";
import { type Features, probeTools, SERVICE_FEATURES, unsupportedFeatures } from "./probe-tools.ts";
import type { IptablesTools } from "./tools.ts";

export interface FamilyTools {
  readonly tools: IptablesTools;
  readonly features: Features;
}

export interface Toolset {
  readonly variant: Variant;
  /** At least one. */
  readonly families: readonly FamilyTools[];
  readonly unserved: readonly UnservedFamily[];
  /** Features that do not work in the served families; a sentence each. */
  readonly unsupported: readonly string[];
  /** For the log: the tools, the reasons for their choice, and families that are not served. */
  readonly findings: readonly string[];
}

/**
 * Chooses the tools and probes the kernel with them. A family that the kernel cannot serve becomes
 * `unserved`; if none remains, this fails. `locked` is called during a wait for the xtables lock.
 * @throws SluiceError as `chooseTools` and `probeTools`
 */
export async function findToolset(search: SearchOptions, locked: OnLocked): Promise<Toolset> {
  const { variant, why, tools, missing } = await chooseTools(search);
  const families: FamilyTools[] = [];
  const findings: string[] = [];
  const unsupported: string[] = [];
  const unserved = [...missing];
  let kernelError: unknown;
  for (const family of [4, 6] as const satisfies readonly Family[]) {
    const found = tools[family];
    if (found === undefined) continue;
    try {
      const features = await probeTools(found, locked);
      families.push({ tools: found, features });
      findings.push(`IPv${family} uses ${found.path} ${found.version} (${variant}): ${why}`);
      const of = (sentence: string) => `IPv${family}: ${sentence}`;
      findings.push(...unsupportedFeatures(features).map(of));
      unsupported.push(...unsupportedFeatures(features, SERVICE_FEATURES).map(of));
    } catch (error) {
      rethrowDefect(error);
      if (error.code !== "KERNEL_UNSUPPORTED") throw error;
      kernelError ??= error;
      unserved.push({ family, code: error.code, reason: error.message });
    }
  }
  if (families.length === 0) throw kernelError;
  for (const { family, reason } of unserved) findings.push(`IPv${family} is not served: ${reason}`);
  return { variant, families, unserved, unsupported, findings };
}
