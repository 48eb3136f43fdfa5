/**
 * Finds the iptables variant that other programs on this node use, as
 * kubernetes-sigs/iptables-wrappers does for a container. It checks these in order:
 *
 * 1. the kubelet's own chains
 * 2. where most rules of other programs are
 * 3. where most rules with kube-proxy's names are (kube-proxy's or Sluice's)
 * 4. where the plain `iptables` writes
 *
 * It creates no table and loads no module.
 */
import { rethrowDefect } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import type { Variant } from "../syntax/known-chains.ts";
import { findUnqualifiedTool, type SearchOptions } from "./find-tools.ts";
import { isKubeProxyName, LegacyInfo, type RuleCounts, readContents } from "./legacy-info.ts";
import { countRules, listChains, NftInfo } from "./nft-info.ts";

/**
 * pkg/kubelet/kubelet_network_linux.go; the second name until 1.23. In the table mangle of both
 * families.
 */
const HINTS = ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"] as const;
const INSPECTED_TABLES = ["nat", "filter", "mangle", "raw", "security"] as const;
const FAMILIES: readonly Family[] = [4, 6];

/** Names of each variant's tables, for messages. */
export const VARIANT_TABLE_NAMES: { readonly [variant in Variant]: string } = {
  nft: "nf_tables",
  legacy: "the legacy tables",
};

export interface VariantInUse {
  readonly variant: Variant;
  readonly why: string;
}

/**
 * Finds the variant by the rules in the kernel, or by the plain `iptables`.
 * @throws SluiceError PERMISSION_DENIED
 */
export async function findVariantInUse(options: SearchOptions): Promise<VariantInUse> {
  const hint = hintInNft();
  if (hint !== undefined) return usedByKubelet("nft", hint);
  const legacy = lookAtLegacy();
  if (legacy.hint !== undefined) return usedByKubelet("legacy", legacy.hint);
  const inNft = countInNft(legacy);
  const byOthers = holdsMore(legacy.others, inNft.others);
  if (byOthers !== undefined) {
    const [more, fewer] = [legacy.others, inNft.others].sort((a, b) => b - a);
    const reason = `most rules of other programs are in ${VARIANT_TABLE_NAMES[byOthers]} (at least ${more} against ${fewer})`;
    return { variant: byOthers, why: reason };
  }
  // Rules of other programs come first. Otherwise an earlier choice by Sluice or a kube-proxy would
  // never change.
  const byKubeProxy = holdsMore(legacy.kubeProxy, inNft.kubeProxy);
  if (byKubeProxy !== undefined) {
    const why = `existing rules of Sluice or kube-proxy are in ${VARIANT_TABLE_NAMES[byKubeProxy]}`;
    return { variant: byKubeProxy, why };
  }
  const plain = await findUnqualifiedTool(4, options).catch(ignoreBroken);
  if (plain !== undefined) {
    const why = `existing rules give no preference, and ${plain.path} writes to ${VARIANT_TABLE_NAMES[plain.variant]}`;
    return { variant: plain.variant, why };
  }
  return {
    variant: "nft",
    why: "existing rules give no preference, and there is no plain iptables, so nft is the default",
  };
}

function holdsMore(legacy: number, nft: number): Variant | undefined {
  return legacy === nft ? undefined : legacy > nft ? "legacy" : "nft";
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

/**
 * Stops counting soon after it exceeds the number in the legacy tables, which suffices for the
 * comparison.
 */
function countInNft(legacy: RuleCounts): RuleCounts {
  return unlessAbsent({ others: 0, kubeProxy: 0 }, () => {
    const counts = { others: 0, kubeProxy: 0 };
    for (const family of FAMILIES) {
      for (const place of listChains(family, INSPECTED_TABLES)) {
        const { table, chain } = place;
        const kind = isKubeProxyName(table, chain) ? "kubeProxy" : "others";
        const enough = legacy[kind] + 1 - counts[kind];
        if (enough <= 0) continue;
        const named = (name: string) => kind === "others" && isKubeProxyName(table, name);
        const { rules, naming } = countRules(family, place, enough, named);
        counts[kind] += rules - naming;
        counts.kubeProxy += naming;
      }
    }
    return counts;
  });
}

/** Returns `nothing` if the kernel has no nf_tables. @throws SluiceError PERMISSION_DENIED */
function unlessAbsent<T>(nothing: T, look: () => T): T {
  try {
    return look();
  } catch (error) {
    rethrowDefect(error);
    if (error.code === "PERMISSION_DENIED") throw error;
    return nothing;
  }
}

interface LegacyHints extends RuleCounts {
  /** A chain of the kubelet. If there is one, rules are not counted. */
  readonly hint: string | undefined;
}

/**
 * Asks the kernel, because the tools may be missing, and they see nothing without permission or the
 * lock.
 */
function lookAtLegacy(): LegacyHints {
  let others = 0;
  let kubeProxy = 0;
  const infos = FAMILIES.map((family) => new LegacyInfo(family));
  try {
    const read = (info: LegacyInfo, table: string) => {
      const entries = info.names().includes(table) ? info.entries(table) : undefined;
      return entries && readContents(table, entries);
    };
    const mangles = infos.map((info) => read(info, "mangle"));
    const hint = HINTS.find((one) => mangles.some((mangle) => mangle?.chains.has(one)));
    if (hint !== undefined) return { hint, others, kubeProxy };
    const rest = INSPECTED_TABLES.filter((table) => table !== "mangle");
    const further = infos.flatMap((info) => rest.map((table) => read(info, table)));
    for (const contents of [...mangles, ...further]) {
      others += contents?.others ?? 0;
      kubeProxy += contents?.kubeProxy ?? 0;
    }
  } finally {
    for (const info of infos) info.close();
  }
  return { hint: undefined, others, kubeProxy };
}

function usedByKubelet(variant: Variant, hint: string): VariantInUse {
  return { variant, why: `kubelet's chain ${hint} is in ${VARIANT_TABLE_NAMES[variant]}` };
}

/**
 * Ignores a plain iptables that does not run. If it is needed later, that becomes an error then.
 */
function ignoreBroken(error: unknown): undefined {
  rethrowDefect(error);
  return undefined;
}
