/** One change in all families: a restore for each, and what they come to together. */
import type { FamilyRules } from "./family.ts";
import { type Failure, failure, joined } from "./refusal.ts";
import type { Step } from "./restore-text.ts";

export interface WriteAllOptions {
  /** For each family. */
  readonly steps: readonly (readonly Step[])[];
  /** They are some chains only, rather than whatever differs. */
  readonly partial: boolean;
  readonly ownerName: (owner: number) => string;
  /** Monotonic, in ms. */
  readonly now: () => number;
}

export interface WrittenAll {
  readonly bytes: number;
  /** Some families may have taken theirs all the same. */
  readonly failed: Failure | undefined;
  /** Tools that found something missing that the change builds on. */
  readonly drifted: readonly string[];
}

export async function writeAll(
  families: readonly FamilyRules[],
  { steps, partial, ownerName, now }: WriteAllOptions,
): Promise<WrittenAll> {
  let bytes = 0;
  let failed: Failure | undefined;
  const drifted: string[] = [];
  for (const [index, family] of families.entries()) {
    const written = await family.write(steps[index] ?? [], { partial });
    bytes += written.bytes;
    const { refused } = written;
    if (refused === undefined) continue;
    const { owner, result } = refused;
    const unable =
      result.kind === "line" &&
      owner === undefined &&
      !refused.drifted &&
      !(await family.takesAnything(now()));
    const receipt = failure(family, refused, owner === undefined ? undefined : ownerName(owner));
    failed = joined(failed, {
      ...receipt,
      transient: receipt.transient || unable,
      drifted: refused.drifted || family.kernel.blind,
    });
    if (refused.drifted) drifted.push(family.tool);
    // The lock is for all families: the next one would wait as long.
    if (result.kind === "locked") break;
  }
  return { bytes, failed, drifted };
}
