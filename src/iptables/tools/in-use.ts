/**
 * Which variant do others on this node use? As kubernetes-sigs/iptables-wrappers finds out for a container: the kubelet's
 * own chains tell, else the rules of others, else those of kube-proxy's names, ours too, else what plain `iptables` is. Nothing is made or loaded by looking.
 */
import { rethrowDefect } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import type { Variant } from "../syntax/types.ts";
import { findPlain, type SearchOptions } from "./find-tools.ts";
import { LegacyInfo } from "./legacy-info.ts";
import { isKubeProxys, type RuleCounts, readContents } from "./legacy-rules.ts";
import { countRules, listChains, NftInfo } from "./nft-info.ts";

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
  const legacy = lookIntoLegacy();
  if (legacy.hint !== undefined) return ofKubelet("legacy", legacy.hint);
  const inNft = rulesInNft(legacy);
  const byOthers = holdsMore(legacy.others, inNft.others);
  if (byOthers !== undefined) {
    const [more, fewer] = [legacy.others, inNft.others].sort((a, b) => b - a);
    const why = `most rules of others are in ${PLACES[byOthers]}, ${more} or more against ${fewer}`;
    return { variant: byOthers, why };
  }
  // Not before: what we, or a kube-proxy, once chose would be chosen for ever.
  const byKubeProxys = holdsMore(legacy.kubeProxys, inNft.kubeProxys);
  if (byKubeProxys !== undefined) {
    const why = `the rules that are there, Sluice's or kube-proxy's, are in ${PLACES[byKubeProxys]}`;
    return { variant: byKubeProxys, why };
  }
  const plain = await findPlain(4, options).catch(ignoreBroken);
  if (plain !== undefined) {
    const why = `no rules tell which to use, and ${plain.path} writes to ${PLACES[plain.variant]}`;
    return { variant: plain.variant, why };
  }
  return { variant: "nft", why: "neither rules nor a plain iptables tell which to use" };
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

/** Not counted much further than to one more than are in the legacy tables. */
function rulesInNft(legacy: RuleCounts): RuleCounts {
  return unlessAbsent({ others: 0, kubeProxys: 0 }, () => {
    const counts = { others: 0, kubeProxys: 0 };
    for (const family of FAMILIES) {
      for (const place of listChains(family, TABLES)) {
        const { table, chain } = place;
        const kind = isKubeProxys(table, chain) ? "kubeProxys" : "others";
        const enough = legacy[kind] + 1 - counts[kind];
        if (enough <= 0) continue;
        const named = (name: string) => kind === "others" && isKubeProxys(table, name);
        const { rules, naming } = countRules(family, place, enough, named);
        counts[kind] += rules - naming;
        counts.kubeProxys += naming;
      }
    }
    return counts;
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

interface Sight extends RuleCounts {
  /** A chain of the kubelet. */
  readonly hint: string | undefined;
}

/** Asks the kernel rather than the tools: they may be missing, and without rights or lock they see nothing. */
function lookIntoLegacy(): Sight {
  let others = 0;
  let kubeProxys = 0;
  const infos = FAMILIES.map((family) => new LegacyInfo(family));
  try {
    const read = (info: LegacyInfo, table: string) => {
      const blob = info.names().includes(table) ? info.blob(table) : undefined;
      return blob && readContents(table, blob);
    };
    const mangles = infos.map((info) => read(info, "mangle"));
    const hint = HINTS.find((one) => mangles.some((mangle) => mangle?.chains.has(one)));
    if (hint !== undefined) return { hint, others, kubeProxys };
    const rest = TABLES.filter((table) => table !== "mangle");
    const further = infos.flatMap((info) => rest.map((table) => read(info, table)));
    for (const contents of [...mangles, ...further]) {
      others += contents?.others ?? 0;
      kubeProxys += contents?.kubeProxys ?? 0;
    }
  } finally {
    for (const info of infos) info.close();
  }
  return { hint: undefined, others, kubeProxys };
}

function ofKubelet(variant: Variant, hint: string): Preference {
  return { variant, why: `kubelet's chain ${hint} is in ${PLACES[variant]}` };
}

/** What cannot be run tells nothing; where it is needed, that is an error. */
function ignoreBroken(error: unknown): undefined {
  rethrowDefect(error);
  return undefined;
}
