/**
 * Which variant do others on this node use? As kubernetes-sigs/iptables-wrappers finds out for a container: the kubelet's
 * own chains tell, else the rules that are there, else what plain `iptables` is. Nothing is made or loaded by looking.
 */
import { rethrowDefect } from "../../errors.ts";
import type { Family } from "../../plan/tables.ts";
import { findPlain, findTool, type SearchOptions } from "./find-tools.ts";
import { LegacyInfo } from "./legacy-info.ts";
import { NftInfo } from "./nft-info.ts";
import { Tools } from "./tools.ts";
import type { Variant } from "./types.ts";

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
  const nft = lookIntoNft();
  if (nft.hint !== undefined) return ofKubelet("nft", nft.hint);
  const legacy = await lookIntoLegacy(options);
  if (legacy.hint !== undefined) return ofKubelet("legacy", legacy.hint);
  if (nft.rules !== legacy.rules) {
    const variant = nft.rules > legacy.rules ? "nft" : "legacy";
    const why = `nf_tables holds ${nft.rules} rules of iptables, the legacy tables hold ${legacy.rules}`;
    return { variant, why };
  }
  const plain = await findPlain(4, options).catch(ignoreBroken);
  if (plain !== undefined) {
    const why = `no rules of others tell which to use, and ${plain.path} writes to ${PLACES[plain.variant]}`;
    return { variant: plain.variant, why };
  }
  return { variant: "nft", why: "neither rules of others nor a plain iptables tell which to use" };
}

interface Sight {
  /** A chain of the kubelet. */
  readonly hint: string | undefined;
  /** Not counted where there is a hint. */
  readonly rules: number;
}

function lookIntoNft(): Sight {
  let info: NftInfo | undefined;
  try {
    info = new NftInfo();
    const { hasChain, countRules } = bound(info);
    const hint = HINTS.find((chain) =>
      FAMILIES.some((family) => hasChain(family, "mangle", chain)),
    );
    if (hint !== undefined) return { hint, rules: 0 };
    const counts = FAMILIES.flatMap((family) => TABLES.map((table) => countRules(family, table)));
    return { hint, rules: counts.reduce((sum, count) => sum + count, 0) };
  } catch (error) {
    rethrowDefect(error);
    if (error.code === "PERMISSION_DENIED") throw error;
    // A kernel without nf_tables.
    return { hint: undefined, rules: 0 };
  } finally {
    info?.close();
  }
}

function bound(info: NftInfo): Pick<NftInfo, "hasChain" | "countRules"> {
  return {
    hasChain: (...where) => info.hasChain(...where),
    countRules: (...where) => info.countRules(...where),
  };
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
