/**
 * Looks for rules of kube-proxy, for those of another mode of our own, and for other proxies by what they leave
 * visible. Cheap: no dumps, everything by name.
 */

import type { OwnRules, RuleForm } from "../backend/capabilities.ts";
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { parseSaved, type SavedTable } from "../iptables/syntax/iptables-save.ts";
import { MARKERS, SERVICES, XTABLES } from "../iptables/syntax/known-chains.ts";
import { LegacyTables } from "../iptables/tools/legacy-tables.ts";
import { isDenied } from "../iptables/tools/restore-errors.ts";
import type { Family } from "../net/address.ts";
import { existingLinks } from "../netlink/links.ts";
import { TABLE } from "../nftables/wire/object-names.ts";
import {
  type AcceptorState,
  acceptorsOf,
  type Dropping,
  type FilterTable,
  isNeeded,
} from "./firewall.ts";
import { ACCEPTORS, makerOf } from "./kube-proxy-chains.ts";
import { NFT_FAMILIES, type NftFamily, type NftReader, withReader } from "./read-nft.ts";
import { legacyTable } from "./remove-legacy.ts";
import { KUBE_PROXY_TABLE } from "./remove-nft.ts";
import { isBeside, kindOf, type Maker, NAMES, type RulesKind } from "./rule-origin.ts";

export interface Finding {
  /**
   * All but the ways are told, and never removed. "blind" is what no tool here can read, "unreadable" what could
   * not be looked for this time, "drops" a policy of a firewall, "process" a kube-proxy that runs.
   */
  readonly kind: RulesKind | "other" | "blind" | "unreadable" | "drops" | "process";
  /** What it is, without its parts: `kube-proxy's rules (nftables mode)`. */
  readonly what: string;
  /** Where it was seen: `table ip kube-proxy`, `device kube-ipvs0`; of what is unreadable, why. */
  readonly parts: readonly string[];
  /** Ways whose rules may be there all the same. */
  readonly hides?: readonly RulesKind[];
  /** Parts that accept only, and that no policy makes necessary: a kube-proxy that lives has others besides. */
  readonly acceptors?: readonly string[];
  /** Of the kind "drops". */
  readonly dropping?: Dropping;
}

/** kube-proxy's dummy device in IPVS mode: kubernetes pkg/proxy/ipvs/proxier.go, defaultDummyDevice. */
const IPVS_DEVICE = "kube-ipvs0";

/** Devices by which others are known that can do what a kube-proxy does. */
const DEVICES: ReadonlyMap<string, string> = new Map([
  [IPVS_DEVICE, "kube-proxy's IPVS mode; kube-proxy --cleanup removes what it left"],
  ["kube-dummy-if", "kube-router's service proxy"],
  ["cilium_host", "Cilium, which may replace kube-proxy"],
  ["bpfin.cali", "Calico's eBPF dataplane, which replaces kube-proxy"],
  ["antrea-gw0", "Antrea, which may replace kube-proxy"],
  ["ovn-k8s-mp0", "OVN-Kubernetes, which replaces kube-proxy"],
]);

/** Where legacy tables are in use and nothing can read them. */
export const BLIND =
  "iptables' legacy tables, which may hold kube-proxy's rules; the tools to look into them are not installed";

/** Where they are in use and we may not read them: they are root's, and the tools open a raw socket. */
export const FORBIDDEN =
  "iptables' legacy tables, which may hold kube-proxy's rules; looking into them takes root and CAP_NET_RAW";

export interface LookOptions {
  readonly clock: Clock;
  /** Our own rules, which are nothing that is left over. Undefined: we have none. */
  readonly own?: OwnRules | undefined;
  /** In place of the real ones. */
  readonly legacy?: readonly LegacyTables[];
}

export const FAMILIES_OF_NFT = Object.keys(NFT_FAMILIES) as readonly NftFamily[];

/**
 * Everything that is there now, but for our own. Chains of the IPVS mode bear the same names as those of the iptables
 * mode, and go together with what is not removed here: with its device there, kube-proxy's are not told. Each source is
 * read by itself: one that fails is a finding, and hides nothing of the others.
 */
export async function findOtherProxies(options: LookOptions): Promise<readonly Finding[]> {
  const { clock, own, legacy = legacyTables() } = options;
  const findings: Finding[] = [];
  const add = (finding: Finding) => {
    if (finding.parts.length > 0) findings.push(finding);
  };
  const look = async <T>(
    what: string,
    hides: readonly RulesKind[],
    read: () => T | Promise<T>,
  ): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      add({ kind: "unreadable", what, parts: [error.message], hides });
      return undefined;
    }
  };
  const inNft = <T>(way: RuleForm, list: (reader: NftReader) => T | Promise<T>) =>
    look(NAMES[way], [way, kindOf("Sluice", way)], () => withReader(clock, list));
  const tables = (kind: RulesKind, parts: readonly string[] = []) => {
    if (isBeside(kind, own)) add({ kind, what: NAMES[kind], parts });
  };

  const devices = await look("devices of other proxies", ["iptables", "iptables-legacy"], () =>
    existingLinks([...DEVICES.keys()]),
  );
  // Without the devices it is not known whose chains these are.
  const ipvs = devices === undefined || devices.includes(IPVS_DEVICE);
  const chains = (way: RuleForm, found: FoundChains) => {
    for (const maker of ["Sluice", "kube-proxy"] as const) {
      if (ipvs && maker === "kube-proxy") continue;
      const { parts, acceptors } = found[maker];
      const kind = kindOf(maker, way);
      add({ kind, what: NAMES[kind], parts: [...parts, ...acceptors], acceptors });
    }
    for (const dropping of ipvs ? [] : found.policies) {
      const { from, where } = dropping;
      if (dropping.drops) add({ kind: "drops", what: from, parts: [where], dropping });
    }
  };

  const found = await inNft("nftables", nftTables);
  tables("sluice-nftables", found?.Sluice);
  tables("nftables", found?.["kube-proxy"]);
  if (own?.form !== "iptables") chains("iptables", (await inNft("iptables", xtChains)) ?? none());
  if (own?.form !== "iptables-legacy") {
    const way = "iptables-legacy";
    const inLegacy = none();
    const unseen: string[] = [];
    const forbidden: string[] = [];
    const hides = [way, kindOf("Sluice", way)] as const;
    for (const each of legacy) {
      const where = legacyTable(each, "nat");
      await look(`kube-proxy's rules in ${where}`, hides, async () => {
        try {
          if (!(await legacyChains(each, inLegacy))) unseen.push(where);
        } catch (error) {
          // What was not granted on purpose is no fault to be mended.
          if (!isForbidden(error)) throw error;
          forbidden.push(where);
        }
      });
    }
    chains(way, inLegacy);
    if (!ipvs) {
      add({ kind: "blind", what: BLIND, parts: unseen, hides });
      add({ kind: "blind", what: FORBIDDEN, parts: forbidden, hides });
    }
  }
  for (const name of devices ?? []) {
    add({ kind: "other", what: DEVICES.get(name) ?? name, parts: [`device ${name}`] });
  }
  return findings;
}

function isForbidden(error: unknown): boolean {
  if (!(error instanceof SluiceError)) return false;
  return isDenied(error.message) || /\b(EACCES|EPERM)\b/.test(error.message);
}

export function hasIpvs(): boolean {
  return existingLinks([IPVS_DEVICE]).length > 0;
}

export function legacyTables(): readonly LegacyTables[] {
  return [new LegacyTables(4), new LegacyTables(6)];
}

/** Chains that were seen in all tables of one way, by who made them. */
type FoundChains = {
  readonly [maker in Maker]: {
    readonly parts: string[];
    /** Acceptors that are not needed. */
    readonly acceptors: string[];
  };
} & { readonly policies: Dropping[] };

function none(): FoundChains {
  const of = () => ({ parts: [], acceptors: [] });
  return { Sluice: of(), "kube-proxy": of(), policies: [] };
}

function sortAcceptors(
  found: FoundChains,
  maker: Maker,
  states: readonly AcceptorState[],
  of: { readonly family: Family; readonly where: string; readonly legacy: boolean },
): void {
  for (const state of states) {
    if (state.there && !isNeeded(state)) {
      found[maker].acceptors.push(`${of.where} ${state.chain}`);
    }
    found.policies.push({ ...state, ...of });
  }
}

function nftTables(reader: NftReader): { readonly [maker in Maker]: readonly string[] } {
  if (!reader.isThere()) return { Sluice: [], "kube-proxy": [] };
  const families = FAMILIES_OF_NFT.filter((family) => reader.hasTable(family, KUBE_PROXY_TABLE));
  return {
    Sluice: reader.ownTable() === "ours" ? [`table inet ${TABLE}`] : [],
    "kube-proxy": families.map((family) => `table ${family} ${KUBE_PROXY_TABLE}`),
  };
}

async function xtChains(reader: NftReader): Promise<FoundChains> {
  const found = none();
  if (!reader.isThere()) return found;
  const ofFilter = new Set(ACCEPTORS.map(({ chain }) => chain));
  for (const family of FAMILIES_OF_NFT) {
    const maker = makerOf((chain) => reader.hasChain(family, "nat", chain));
    for (const table of XTABLES) {
      const where = `table ${family} ${table}`;
      const own = MARKERS[table].filter((chain) => table !== "filter" || !ofFilter.has(chain));
      for (const chain of own) {
        if (reader.hasChain(family, table, chain)) found[maker].parts.push(`${where} ${chain}`);
      }
      if (table !== "filter") continue;
      const states = await acceptorsOf({
        chain: (name) => reader.chain(family, table, name),
        rules: (chain) => reader.rules(family, table, chain),
      });
      const of = { family: family === "ip" ? 4 : 6, where, legacy: false } as const;
      sortAcceptors(found, maker, states, of);
    }
  }
  return found;
}

/** False if there may be chains, and nothing that can read them. */
async function legacyChains(tables: LegacyTables, found: FoundChains): Promise<boolean> {
  const names = await tables.names();
  const usable = names.length === 0 || (await tables.usable());
  let maker: Maker = "kube-proxy";
  if (usable && names.includes("nat")) {
    const chains = await tables.chains("nat");
    // Only the chain that everything hangs on.
    if (chains.has(SERVICES)) {
      maker = makerOf((chain) => chains.has(chain));
      found[maker].parts.push(`${legacyTable(tables, "nat")} ${SERVICES}`);
    }
  }
  if (usable && names.includes("filter")) {
    const states = await acceptorsOf(filterIn(parseSaved(await tables.save("filter"))));
    const where = legacyTable(tables, "filter");
    sortAcceptors(found, maker, states, { family: tables.family, where, legacy: true });
  }
  return usable || !names.includes("nat");
}

function filterIn({ chains, rules }: SavedTable): FilterTable {
  return {
    chain: (name) => chains.find((chain) => chain.name === name),
    rules: (name) => rules.get(name) ?? [],
  };
}
