/**
 * Which variant do others on this node use? As kubernetes-sigs/iptables-wrappers finds out for a container: the kubelet's
 * own chains tell, else the rules that are there, else what plain `iptables` is. Nothing is made or loaded by looking.
 */
import { rethrowDefect } from "../../../errors.ts";
import type { Family } from "../../../plan/tables.ts";
import type { Variant } from "../types.ts";
import { findPlain, findTool, type SearchOptions } from "./find-tools.ts";
import { LegacyInfo } from "./legacy-info.ts";
import { countRules, NftInfo } from "./nft-info.ts";
import { Tools } from "./tools.ts";

/** pkg/kubelet/kubelet_network_linux.go; the second one until 1.23. In mangle, of both families. */
const HINTS = ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"] as const;
const TABLES = ["nat", "filter", "mangle", "raw", "security"] as const;
const FAMILIES: readonly Family[] = [4, 6];

export const PLACES: { readonly [variant in Variant]: string } = {
  nft: "nf_tables",
  legacy: "the legacy tables",
};

export interface Preference {
  readonly variant: Variant;
  readonly why: string;
}

/** @throws SluiceError PERMISSION_DENIED */
export async function findInUse(options: SearchOptions): Promise<Preference> {
  const hint = hintInNft();
  if (hint !== undefined) return ofKubelet("nft", hint);
  const legacy = await lookIntoLegacy(options);
  if (legacy.hint !== undefined) return ofKubelet("legacy", legacy.hint);
  const inNft = rulesInNft(legacy.rules);
  if (inNft > legacy.rules) return { variant: "nft", why: holdsMost("nft", inNft, legacy.rules) };
  if (inNft < legacy.rules) {
    return { variant: "legacy", why: holdsMost("legacy", legacy.rules, inNft) };
  }
  const plain = await findPlain(4, options).catch(ignoreBroken);
  if (plain !== undefined) {
    const why = `no rules of others tell which to use, and ${plain.path} writes to ${PLACES[plain.variant]}`;
    return { variant: plain.variant, why };
  }
  return { variant: "nft", why: "neither rules of others nor a plain iptables tell which to use" };
}

function holdsMost(variant: Variant, more: number, fewer: number): string {
  return `most rules of iptables are in ${PLACES[variant]}, ${more} or more against ${fewer}`;
}

function hintInNft(): string | undefined {
  return unlessAbsent(undefined, () => {
    const info = new NftInfo();
    try {
      return HINTS.find((hint) => FAMILIES.some((family) => info.hasChain(family, "mangle", hint)));
    } finally {
      info.close();
    }
  });
}

/** Not counted much further than to one more than `others`. */
function rulesInNft(others: number): number {
  return unlessAbsent(0, () => {
    let rules = 0;
    for (const family of FAMILIES) {
      for (const table of TABLES) {
        if (rules <= others) rules += countRules(family, table, others + 1 - rules);
      }
    }
    return rules;
  });
}

/** A kernel without nf_tables has nothing there. @throws SluiceError PERMISSION_DENIED */
function unlessAbsent<T>(nothing: T, look: () => T): T {
  try {
    return look();
  } catch (error) {
    rethrowDefect(error);
    if (error.code === "PERMISSION_DENIED") throw error;
    return nothing;
  }
}

interface Sight {
  /** A chain of the kubelet. */
  readonly hint: string | undefined;
  /** Not counted where there is a hint. */
  readonly rules: number;
}

async function lookIntoLegacy(options: SearchOptions): Promise<Sight> {
  let rules = 0;
  for (const family of FAMILIES) {
    const names = countEntries(family, (entries) => {
      rules += entries;
    });
    if (!names.includes("mangle")) continue;
    const found = await findTool(family, "legacy", options).catch(ignoreBroken);
    if (found === undefined) continue;
    const tools = new Tools(found);
    for (const hint of HINTS) {
      if (await tools.hasChain("mangle", hint).catch(ignoreBroken)) return { hint, rules: 0 };
    }
  }
  return { hint: undefined, rules };
}

/** Tells of each table in use how much is in it; the names of the tables. */
function countEntries(family: Family, each: (entries: number) => void): readonly string[] {
  const info = new LegacyInfo(family);
  try {
    const names = info.names();
    for (const name of names) each(info.entries(name));
    return names;
  } finally {
    info.close();
  }
}

function ofKubelet(variant: Variant, hint: string): Preference {
  return { variant, why: `kubelet's chain ${hint} is in ${PLACES[variant]}` };
}

/** What cannot be run tells nothing; where it is needed, that is an error. */
function ignoreBroken(error: unknown): undefined {
  rethrowDefect(error);
  return undefined;
}
