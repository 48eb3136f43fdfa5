/** Describes the result of a removal. */
import type { SluiceError } from "../base/errors.ts";
import type { Leftovers } from "./removable-chains.ts";
import type { RuleOwner } from "./rule-origin.ts";

export interface Removal {
  /**
   * The removed objects: `table ip kube-proxy`,
   * `kube-proxy's chains in table ip nat (chains: 12, ...)`.
   */
  readonly removed: readonly string[];
  /**
   * Further information for the operator: what stays and why, and which rules are needed instead.
   */
  readonly messages: readonly string[];
  /** Chains that had to stay: `table ip nat KUBE-SERVICES`. */
  readonly kept: readonly string[];
  readonly failures: readonly SluiceError[];
}

export const NOTHING_REMOVED: Removal = { removed: [], messages: [], kept: [], failures: [] };

/** The result for the chains of `owner` in the table `where`. */
export function describeRemoval(
  where: string,
  owner: RuleOwner,
  leftovers: Leftovers<unknown>,
): Removal {
  const { jumps, chains, kept, removedRequired } = leftovers;
  const removed: string[] = [];
  const messages: string[] = [];
  if (chains.length > 0 || jumps.length > 0) {
    removed.push(
      `${owner}'s chains in ${where} (chains: ${chains.length}, jumps: ${jumps.length})`,
    );
  }
  if (kept.length > 0) {
    messages.push(`Kept ${kept.join(", ")} in ${where}: rules of other programs jump there`);
  }
  for (const { from, chain, accepts } of removedRequired) {
    messages.push(
      `The policy of chain ${from} in ${where} is DROP, and ${chain}, which accepted ${accepts}, is removed (add rules that accept them)`,
    );
  }
  return { removed, messages, kept: kept.map((chain) => `${where} ${chain}`), failures: [] };
}

export function mergeRemovals(removals: readonly Removal[]): Removal {
  return {
    removed: removals.flatMap(({ removed }) => removed),
    messages: removals.flatMap(({ messages }) => messages),
    kept: removals.flatMap(({ kept }) => kept),
    failures: removals.flatMap(({ failures }) => failures),
  };
}
