/** Looks for rules of kube-proxy, and for other proxies by what they leave visible. Cheap: no dumps, everything by name. */
import type { Clock } from "../../clock.ts";
import { SluiceError } from "../../errors.ts";
import type { Family } from "../../plan/tables.ts";
import { LegacyTables } from "../iptables/legacy.ts";
import { parseSaved, type SavedTable } from "../iptables/save.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { existingLinks } from "../netlink/links.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { ACCEPTORS, MARKERS, XTABLES } from "./chains.ts";
import {
  type AcceptorState,
  acceptorsOf,
  type Dropping,
  type FilterTable,
  isNeeded,
} from "./firewall.ts";
import { legacyTable } from "./legacy-remove.ts";
import { NFT_FAMILIES, type NftFamily, NftReader } from "./nft-read.ts";
import { KUBE_PROXY_TABLE } from "./nft-remove.ts";

/** Ways in which kube-proxy's rules can be in the kernel. */
export type RulesKind = "nftables" | "iptables" | "iptables-legacy";

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

const NAMES: { readonly [kind in RulesKind]: string } = {
  nftables: "kube-proxy's rules (nftables mode)",
  iptables: "kube-proxy's rules (iptables mode)",
  "iptables-legacy": "kube-proxy's rules (iptables mode, legacy)",
};

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

export interface LookOptions {
  readonly clock: Clock;
  /** In place of the real ones. */
  readonly legacy?: readonly LegacyTables[];
}

export const FAMILIES_OF_NFT = Object.keys(NFT_FAMILIES) as readonly NftFamily[];

/**
 * Everything that is there now. Chains of the IPVS mode bear the same names as those of the iptables mode, and
 * go together with what is not removed here: with its device there, they are not told. Each source is read by
 * itself: one that fails is a finding, and hides nothing of the others.
 */
export async function findOtherProxies(options: LookOptions): Promise<readonly Finding[]> {
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
  const ofKind = (kind: RulesKind, parts: readonly string[] = []) =>
    add({ kind, what: NAMES[kind], parts });
  const inNft = <T>(kind: RulesKind, list: (reader: NftReader) => T | Promise<T>) =>
    look(NAMES[kind], [kind], () => withReader(options.clock, list));
  const ofChains = (kind: RulesKind, { parts, acceptors, policies }: Chains) => {
    add({ kind, what: NAMES[kind], parts: [...parts, ...acceptors], acceptors });
    for (const dropping of policies) {
      const { from, where } = dropping;
      if (dropping.drops) add({ kind: "drops", what: from, parts: [where], dropping });
    }
  };

  const devices = await look("devices of other proxies", ["iptables", "iptables-legacy"], () =>
    existingLinks([...DEVICES.keys()]),
  );
  ofKind("nftables", await inNft("nftables", nftTables));
  // Without the devices it is not known whose chains these are.
  if (devices !== undefined && !devices.includes(IPVS_DEVICE)) {
    ofChains("iptables", (await inNft("iptables", xtChains)) ?? NO_CHAINS);
    const kind = "iptables-legacy";
    const chains: Chains = { parts: [], acceptors: [], policies: [] };
    const unseen: string[] = [];
    for (const tables of options.legacy ?? legacyTables()) {
      const where = legacyTable(tables, "nat");
      await look(`kube-proxy's rules in ${where}`, [kind], async () => {
        const names = await tables.names();
        if (names.includes("nat") && !(await tables.usable())) unseen.push(where);
        // Only the chain that everything hangs on: each look starts a program.
        else if (names.includes("nat") && (await tables.hasChain("nat", "KUBE-SERVICES")))
          chains.parts.push(`${where} KUBE-SERVICES`);
        if (!names.includes("filter") || !(await tables.usable())) return;
        const states = await acceptorsOf(legacyFilter(tables));
        sortAcceptors(chains, states, tables.family, legacyTable(tables, "filter"), true);
      });
    }
    ofChains(kind, chains);
    add({ kind: "blind", what: BLIND, parts: unseen, hides: [kind] });
  }
  for (const name of devices ?? []) {
    add({ kind: "other", what: DEVICES.get(name) ?? name, parts: [`device ${name}`] });
  }
  return findings;
}

export function hasIpvs(): boolean {
  return existingLinks([IPVS_DEVICE]).length > 0;
}

export function legacyTables(): readonly LegacyTables[] {
  return [new LegacyTables(4), new LegacyTables(6)];
}

/** Chains of kube-proxy that were seen in all tables of one way. */
interface Chains {
  readonly parts: string[];
  /** Acceptors that are not needed. */
  readonly acceptors: string[];
  readonly policies: Dropping[];
}

const NO_CHAINS: Chains = { parts: [], acceptors: [], policies: [] };

function sortAcceptors(
  { acceptors, policies }: Chains,
  states: readonly AcceptorState[],
  family: Family,
  where: string,
  legacy: boolean,
): void {
  for (const state of states) {
    if (state.there && !isNeeded(state)) acceptors.push(`${where} ${state.chain}`);
    policies.push({ ...state, family, where, legacy });
  }
}

async function withReader<T>(
  clock: Clock,
  list: (reader: NftReader) => T | Promise<T>,
): Promise<T> {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    return await list(new NftReader(socket, clock));
  } finally {
    socket.close();
  }
}

function nftTables(reader: NftReader): string[] {
  return FAMILIES_OF_NFT.filter((family) => reader.hasTable(family, KUBE_PROXY_TABLE)).map(
    (family) => `table ${family} ${KUBE_PROXY_TABLE}`,
  );
}

async function xtChains(reader: NftReader): Promise<Chains> {
  const found: Chains = { parts: [], acceptors: [], policies: [] };
  const ofFilter = new Set(ACCEPTORS.map(({ chain }) => chain));
  for (const family of FAMILIES_OF_NFT) {
    for (const table of XTABLES) {
      const where = `table ${family} ${table}`;
      const own = MARKERS[table].filter((chain) => table !== "filter" || !ofFilter.has(chain));
      for (const chain of own) {
        if (reader.hasChain(family, table, chain)) found.parts.push(`${where} ${chain}`);
      }
      if (table !== "filter") continue;
      const states = await acceptorsOf({
        chain: (name) => reader.chain(family, table, name),
        rules: (chain) => reader.rules(family, table, chain),
      });
      sortAcceptors(found, states, family === "ip" ? 4 : 6, where, false);
    }
  }
  return found;
}

/** Each chain is asked for once. */
function legacyFilter(tables: LegacyTables): FilterTable {
  const saved = new Map<string, Promise<SavedTable>>();
  const read = (name: string) => {
    const text =
      saved.get(name) ?? tables.list("filter", name).then((list) => parseSaved(list ?? ""));
    saved.set(name, text);
    return text;
  };
  return {
    chain: async (name) => (await read(name)).chains[0],
    rules: async (name) => (await read(name)).rules.get(name) ?? [],
  };
}
