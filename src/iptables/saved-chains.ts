/**
 * Parses the output of iptables-save for a comparison. The output may have many megabytes, so it is
 * parsed in portions. Pure.
 */

import type { ChainText } from "./rules/rule-text.ts";
import { isOwnJump } from "./syntax/jumps.ts";
import { isKubeProxyChain, isShared, type RuleTable } from "./syntax/known-chains.ts";

export interface SavedChains {
  /** Our chains and shared ones, with their rules as printed. */
  readonly own: ReadonlyMap<string, ChainText>;
  /** All rules of built-in chains, including foreign ones. */
  readonly builtIn: ReadonlyMap<string, readonly string[]>;
  /** Chains of kube-proxy's kinds that foreign rules lead to. */
  readonly referred: ReadonlySet<string>;
}

/** Characters parsed without a pause; they take about 5 ms. */
const SLICE = 1 << 20;

/** Parses `iptables-save -t TABLE`. `pause` lets other work run between two portions. */
export async function parseSavedSlices(
  table: RuleTable,
  saved: string,
  pause: () => Promise<void>,
): Promise<SavedChains> {
  const own = new Map<string, ChainText>();
  const builtIn = new Map<string, string[]>();
  const referred = new Set<string>();
  let paused = 0;
  for (let at = 0; at < saved.length; ) {
    if (at - paused > SLICE) {
      paused = at;
      await pause();
    }
    const end = lineEnd(saved, at);
    const first = saved[at];
    if (first === ":") {
      const [chain = "", policy = "-"] = saved.slice(at + 1, end).split(" ", 2);
      if (isKubeProxyChain(table, chain) || isShared(table, chain)) own.set(chain, "");
      else if (policy !== "-") builtIn.set(chain, []);
    }
    if (first !== "-") {
      at = end + 1;
      continue;
    }
    const chain = chainAt(saved, at);
    const prefix = `-A ${chain}`;
    const from = at;
    let last = end;
    for (
      at = end + 1;
      saved.startsWith(prefix, at) && chainAt(saved, at) === chain;
      at = last + 1
    ) {
      last = lineEnd(saved, at);
    }
    const rules = rulesOf(chain, saved.slice(from, last));
    const before = own.get(chain);
    if (before !== undefined) {
      own.set(chain, before === "" ? rules : `${before}\n${rules}`);
      continue;
    }
    for (const rule of rules.split("\n")) {
      builtIn.get(chain)?.push(rule);
      const target = / -[jg] (KUBE-\S+)/.exec(` ${rule}`)?.[1];
      const jump = builtIn.has(chain) && isOwnJump(table, chain, rule);
      if (target !== undefined && !jump) referred.add(target);
    }
  }
  return { own, builtIn, referred };
}

function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

/** The chain of the rule at `-A CHAIN ...`. */
function chainAt(text: string, at: number): string {
  const start = at + "-A ".length;
  const space = text.indexOf(" ", start);
  const end = lineEnd(text, start);
  return text.slice(start, space < 0 ? end : Math.min(space, end));
}

function rulesOf(chain: string, lines: string): ChainText {
  return lines.slice(`-A ${chain} `.length).replaceAll(`\n-A ${chain} `, "\n");
}
