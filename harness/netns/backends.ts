/**
 * Lists the backends for traffic tests: the flags that select each one, and the rules that it
 * leaves in the kernel.
 */
import type { Variant } from "../../src/iptables/syntax/known-chains.ts";
import type { Family } from "../../src/net/address.ts";
import { runAsync } from "../commands.ts";
import type { World } from "./world.ts";

export type { Variant };
export type Backend = "nftables" | `iptables-${Variant}`;

export const BACKENDS: readonly Backend[] = ["nftables", "iptables-nft", "iptables-legacy"];
export const VARIANTS: readonly Variant[] = ["nft", "legacy"];

/** The variant of iptables; undefined for nftables. */
export function variantOf(backend: Backend): Variant | undefined {
  if (backend === "nftables") return undefined;
  return backend === "iptables-nft" ? "nft" : "legacy";
}

/** Flags that select it. nftables is the default. */
export function flagsOf(backend: Backend): readonly string[] {
  return backend === "nftables" ? [] : ["--proxy-mode=iptables"];
}

/**
 * The lock of iptables-legacy in a world. Each world has its own, so that worlds do not wait for
 * each other.
 */
export function lockOf(world: World): string {
  return `${world.directory}/xtables.lock`;
}

/** The command line of an iptables tool: `["iptables", "-legacy", "-save"]` becomes one word. */
function tool(variant: Variant, family: Family, suffix = ""): string {
  return `${family === 4 ? "iptables" : "ip6tables"}-${variant}${suffix}`;
}

/** Runs `iptables` of a family on node1 and returns its output. */
export function iptables(
  world: World,
  variant: Variant,
  family: Family,
  ...args: readonly string[]
): Promise<string> {
  const lock = `XTABLES_LOCKFILE=${lockOf(world)}`;
  return world.run("node1", ["env", lock, tool(variant, family), "-w", "30", ...args]);
}

/** Adds rules of one table on node1, such as `-A OUTPUT -j ACCEPT`, with one `iptables-restore`. */
export async function addRules(
  world: World,
  variant: Variant,
  family: Family,
  table: string,
  rules: readonly string[],
): Promise<void> {
  const lock = `XTABLES_LOCKFILE=${lockOf(world)}`;
  const restore = [tool(variant, family, "-restore"), "-w", "30", "--noflush"];
  const text = `*${table}\n${rules.join("\n")}\nCOMMIT\n`;
  await runAsync(world.inside("node1", ["env", lock, ...restore]), text);
}

/** The output of iptables-save on node1, without comments; with counters on demand. */
export async function savedRules(
  world: World,
  variant: Variant,
  family: Family,
  options: { readonly counters?: boolean; readonly table?: string } = {},
): Promise<string> {
  const { counters = false, table } = options;
  const command = [
    tool(variant, family, "-save"),
    ...(counters ? ["-c"] : []),
    ...(table === undefined ? [] : ["-t", table]),
  ];
  const text = await world.run("node1", command);
  return text.replaceAll(/^#.*\n/gm, "");
}

/**
 * All rules in the kernel of node1, without the parts that traffic changes, for comparing and
 * searching.
 */
export async function rulesInKernel(world: World, backend: Backend): Promise<string> {
  const variant = variantOf(backend);
  if (variant === undefined) {
    const text = await world.run("node1", ["nft", "list", "ruleset"]);
    return text
      .replaceAll(/ ?counter packets \d+ bytes \d+/g, "")
      .replaceAll(/ expires [\dhms]+/g, "");
  }
  const both = [await savedRules(world, variant, 4), await savedRules(world, variant, 6)];
  return both.join("").replaceAll(/ \[\d+:\d+\]$/gm, "");
}
