/** Finds the endpoints of a frontend in the output of iptables-save. */
import type { Family } from "../../harness/netns/addresses.ts";
import { savedRules, type Variant } from "../../harness/netns/backends.ts";
import type { World } from "../../harness/netns/world.ts";

/** Rules of table nat by chain, without `-A CHAIN`. */
export type NatRules = ReadonlyMap<string, readonly string[]>;

export async function natRules(world: World, variant: Variant, family: Family): Promise<NatRules> {
  const text = await savedRules(world, variant, family, { table: "nat" });
  const chains = new Map<string, string[]>();
  for (const [, name = ""] of text.matchAll(/^:(\S+)/gm)) chains.set(name, []);
  for (const [, name = "", rule = ""] of text.matchAll(/^-A (\S+) (.*)$/gm)) {
    chains.get(name)?.push(rule);
  }
  return chains;
}

/** The target of a rule; undefined if it has none. */
export function targetOf(rule: string): string | undefined {
  return / (?:-j|-g) (\S+)/.exec(` ${rule}`)?.[1];
}

/** The chain that a frontend's rule jumps to. A node port has no address. */
export function chainOf(
  rules: NatRules,
  protocol: string,
  port: number,
  address?: string,
): string | undefined {
  const wanted = new RegExp(`-p ${protocol} .*--dport ${port}(?: |$)`);
  for (const [name, list] of rules) {
    // This chain repeats the rules for connections that need masquerading.
    if (name.startsWith("KUBE-SVC-OUTSIDE")) continue;
    for (const rule of list) {
      const at = /-d (\S+?)\/(?:32|128) /.exec(rule)?.[1];
      if (at === address && wanted.test(rule) && /-j KUBE-/.test(rule)) return targetOf(rule);
    }
  }
  return undefined;
}

/** The endpoints that a chain can lead to, sorted and without duplicates. */
export function endpointsBehind(rules: NatRules, chain: string): string[] {
  const found = new Set<string>();
  const seen = new Set<string>();
  const walk = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    for (const rule of rules.get(name) ?? []) {
      const endpoint = /--to-destination (\S+)/.exec(rule)?.[1];
      if (endpoint !== undefined) found.add(endpoint);
      walk(targetOf(rule) ?? "");
    }
  };
  walk(chain);
  return [...found].sort();
}
