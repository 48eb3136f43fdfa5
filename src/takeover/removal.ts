/** What a removal came to, in words. */
import type { SluiceError } from "../base/errors.ts";
import type { Leftovers } from "./kube-proxy-chains.ts";
import type { Maker } from "./rule-origin.ts";

export interface Removal {
  /** What is gone: `table ip kube-proxy`, `kube-proxy's chains in table ip nat: 12, and ...`. */
  readonly removed: readonly string[];
  /** What the operator should know besides: what stays, and why; what may be missed now. */
  readonly notes: readonly string[];
  /** Chains that had to stay: `table ip nat KUBE-SERVICES`. */
  readonly kept: readonly string[];
  readonly failures: readonly SluiceError[];
}

export const NOTHING: Removal = { removed: [], notes: [], kept: [], failures: [] };

/** What became of the chains of `maker`; `where` is their table. */
export function removalOf(where: string, maker: Maker, leftovers: Leftovers<unknown>): Removal {
  const { jumps, chains, kept, missed } = leftovers;
  const removed: string[] = [];
  const notes: string[] = [];
  if (chains.length > 0 || jumps.length > 0) {
    const rules = jumps.length > 0 ? `, and the rules that led to them: ${jumps.length}` : "";
    removed.push(`${maker}'s chains in ${where}: ${chains.length}${rules}`);
  }
  if (kept.length > 0) {
    notes.push(`${kept.join(", ")} in ${where} stay: rules that are not ${maker}'s lead there`);
  }
  for (const { from, chain, accepts } of missed) {
    notes.push(
      `The policy of ${from} in ${where} is DROP, and ${chain}, which accepted ${accepts}, is gone: other rules must accept them`,
    );
  }
  return { removed, notes, kept: kept.map((chain) => `${where} ${chain}`), failures: [] };
}

export function together(removals: readonly Removal[]): Removal {
  return {
    removed: removals.flatMap(({ removed }) => removed),
    notes: removals.flatMap(({ notes }) => notes),
    kept: removals.flatMap(({ kept }) => kept),
    failures: removals.flatMap(({ failures }) => failures),
  };
}
