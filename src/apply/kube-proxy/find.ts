/** Looks for rules of kube-proxy, and for other proxies by what they leave visible. Cheap: no dumps, everything by name. */
import type { Clock } from "../../clock.ts";
import { LegacyTables } from "../iptables/legacy.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { existingLinks } from "../netlink/links.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { MARKERS, XTABLES } from "./chains.ts";
import { legacyTable } from "./legacy-remove.ts";
import { NFT_FAMILIES, type NftFamily, NftReader, pauseBy } from "./nft-read.ts";
import { KUBE_PROXY_TABLE } from "./nft-remove.ts";

/** Ways in which kube-proxy's rules can be in the kernel. */
export type RulesKind = "nftables" | "iptables" | "iptables-legacy";

export interface Finding {
  /** "other" and "unreadable" are told, and never removed. */
  readonly kind: RulesKind | "other" | "unreadable";
  /** What it is, without its parts: `kube-proxy's rules (nftables mode)`. */
  readonly what: string;
  /** Where it was seen: `table ip kube-proxy`, `table ip nat KUBE-SERVICES`, `device kube-ipvs0`. */
  readonly parts: readonly string[];
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

export interface LookOptions {
  readonly clock: Clock;
  /** In place of the real ones. */
  readonly legacy?: readonly LegacyTables[];
}

export const FAMILIES_OF_NFT = Object.keys(NFT_FAMILIES) as readonly NftFamily[];

/**
 * Everything that is there now. Chains of the IPVS mode bear the same names as those of the iptables mode, and
 * go together with what is not removed here: with its device there, they are not told.
 * @throws SluiceError NETLINK_REFUSED, NETLINK_SOCKET, PERMISSION_DENIED, TOOL_FAILED
 */
export async function findOtherProxies(options: LookOptions): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const add = (kind: Finding["kind"], what: string, parts: readonly string[]) => {
    if (parts.length > 0) findings.push({ kind, what, parts });
  };
  const devices = existingLinks([...DEVICES.keys()]);
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    const reader = new NftReader(socket, pauseBy(options.clock));
    add("nftables", "kube-proxy's rules (nftables mode)", nftTables(reader));
    if (!devices.includes(IPVS_DEVICE)) {
      add("iptables", "kube-proxy's rules (iptables mode)", xtChains(reader));
    }
  } finally {
    socket.close();
  }
  if (!devices.includes(IPVS_DEVICE)) {
    const { seen, unseen } = await legacyChains(options.legacy ?? legacyTables());
    add("iptables-legacy", "kube-proxy's rules (iptables mode, legacy)", seen);
    add("unreadable", BLIND, unseen);
  }
  for (const name of devices) add("other", DEVICES.get(name) ?? name, [`device ${name}`]);
  return findings;
}

export function hasIpvs(): boolean {
  return existingLinks([IPVS_DEVICE]).length > 0;
}

export function legacyTables(): readonly LegacyTables[] {
  return [new LegacyTables(4), new LegacyTables(6)];
}

function nftTables(reader: NftReader): string[] {
  return FAMILIES_OF_NFT.filter((family) => reader.hasTable(family, KUBE_PROXY_TABLE)).map(
    (family) => `table ${family} ${KUBE_PROXY_TABLE}`,
  );
}

function xtChains(reader: NftReader): string[] {
  return FAMILIES_OF_NFT.flatMap((family) =>
    XTABLES.flatMap((table) =>
      MARKERS[table]
        .filter((chain) => reader.hasChain(family, table, chain))
        .map((chain) => `table ${family} ${table} ${chain}`),
    ),
  );
}

/** In the legacy tables only the chain is looked for that everything hangs on: each look starts a program. */
async function legacyChains(families: readonly LegacyTables[]) {
  const seen: string[] = [];
  const unseen: string[] = [];
  for (const tables of families) {
    if (!(await tables.names()).includes("nat")) continue;
    const where = legacyTable(tables, "nat");
    if (!(await tables.usable())) unseen.push(where);
    else if (await tables.hasChain("nat", "KUBE-SERVICES")) seen.push(`${where} KUBE-SERVICES`);
  }
  return { seen, unseen };
}
