/**
 * Finds rules of kube-proxy, rules of another mode of Sluice, and other proxies by visible traces.
 * It is cheap: it looks objects up by name and dumps only small legacy tables.
 */

import type { OwnRules, RuleFormat } from "../backend/capabilities.ts";
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { parseSaved, type SavedTable } from "../iptables/syntax/iptables-save.ts";
import {
  IPTABLES_TABLES,
  KUBE_PROXY_MARKER_CHAINS,
  SERVICES,
} from "../iptables/syntax/known-chains.ts";
import { LegacyTables } from "../iptables/tools/legacy-tables.ts";
import { isDenied } from "../iptables/tools/restore-errors.ts";
import type { Family } from "../net/address.ts";
import { filterExistingLinks } from "../netlink/links.ts";
import { TABLE } from "../nftables/wire/object-names.ts";
import {
  type AcceptChainState,
  type DropPolicy,
  type FilterTable,
  isAcceptChainRequired,
  readAcceptChains,
} from "./firewall-policy.ts";
import { familyOf, NFT_FAMILY_NAMES, type NftReader, withNftReader } from "./nft-reader.ts";
import { ACCEPT_CHAINS, ownerOfChains } from "./removable-chains.ts";
import {
  differsFromOwn,
  KUBE_PROXY_TABLE,
  ORIGIN_NAMES,
  originOf,
  type RuleOrigin,
  type RuleOwner,
} from "./rule-origin.ts";

export interface Finding {
  /**
   * Sluice only ever removes rules of an origin and reports the other kinds.
   * - "no-tools": no installed tool can read it.
   * - "unreadable": reading it failed this time.
   * - "drop-policy": the policy of a firewall.
   * - "process": a running kube-proxy.
   */
  readonly kind: RuleOrigin | "other" | "no-tools" | "unreadable" | "drop-policy" | "process";
  /** A name for the finding without its parts: `kube-proxy's rules (nftables mode)`. */
  readonly what: string;
  /**
   * Where it was found: `table ip kube-proxy`, `device kube-ipvs0`. For "unreadable": the reason.
   */
  readonly parts: readonly string[];
  /** Origins with rules that may exist unseen. */
  readonly mayHide?: readonly RuleOrigin[];
  /**
   * Parts that only accept packets and that no policy makes necessary. A running kube-proxy has
   * other parts too.
   */
  readonly acceptChains?: readonly string[];
  /** Only for the kind "drop-policy". */
  readonly dropPolicy?: DropPolicy;
}

/**
 * kube-proxy's dummy device in ipvs mode: kubernetes pkg/proxy/ipvs/proxier.go, defaultDummyDevice.
 */
const IPVS_DEVICE = "kube-ipvs0";

/** Devices of other programs that can do the work of kube-proxy. */
const DEVICES: ReadonlyMap<string, string> = new Map([
  [IPVS_DEVICE, "kube-proxy in ipvs mode (kube-proxy --cleanup removes its leftovers)"],
  ["kube-dummy-if", "kube-router's service proxy"],
  ["cilium_host", "Cilium, which may replace kube-proxy"],
  ["bpfin.cali", "Calico's eBPF dataplane, which replaces kube-proxy"],
  ["antrea-gw0", "Antrea, which may replace kube-proxy"],
  ["ovn-k8s-mp0", "OVN-Kubernetes, which replaces kube-proxy"],
]);

export const NOT_INSTALLED = "the legacy iptables tools are not installed";
const LEGACY = "legacy iptables tables, which may contain kube-proxy's rules";

/** Used if legacy tables are in use and no tool can read them. */
const NO_LEGACY_TOOLS = `${LEGACY} (${NOT_INSTALLED})`;

/**
 * Used if legacy tables are in use and permission to read them is missing: the tools open a raw
 * socket.
 */
const NO_LEGACY_PERMISSION = `${LEGACY} (reading them needs root and CAP_NET_RAW)`;

export interface FindOptions {
  readonly clock: Clock;
  /** Our own rules, which are not leftovers. Undefined if there are none. */
  readonly own?: OwnRules | undefined;
  /** Replaces the real tables in tests. */
  readonly legacy?: readonly LegacyTables[];
}

/**
 * Finds everything except our own rules. Each source is read independently: a failure becomes a
 * finding and does not hide the others.
 *
 * In ipvs mode, kube-proxy's chains have the same names as in iptables mode. While its device
 * exists, chains are not reported, because they belong to a mode that Sluice does not remove.
 */
export async function findOtherProxies(options: FindOptions): Promise<readonly Finding[]> {
  return await new ProxySearch(options).run();
}

class ProxySearch {
  readonly #clock: Clock;
  readonly #own: OwnRules | undefined;
  readonly #legacy: readonly LegacyTables[];
  readonly #findings: Finding[] = [];
  /** kube-proxy's ipvs mode is present, or may be because the devices cannot be read. */
  #ipvs = true;

  constructor({ clock, own, legacy = legacyTables() }: FindOptions) {
    this.#clock = clock;
    this.#own = own;
    this.#legacy = legacy;
  }

  async run(): Promise<readonly Finding[]> {
    const devices = await this.#read(
      "devices of other proxies",
      ["iptables", "iptables-legacy"],
      () => filterExistingLinks([...DEVICES.keys()]),
    );
    this.#ipvs = devices === undefined || devices.includes(IPVS_DEVICE);
    const form = this.#own?.form;
    await this.#findTables();
    if (form !== "iptables") {
      const found = await this.#readNft("iptables", nftChains);
      this.#addChains("iptables", found ?? noChains());
    }
    if (form !== "iptables-legacy") await this.#findLegacyChains();
    for (const name of devices ?? []) {
      this.#add({ kind: "other", what: DEVICES.get(name) ?? name, parts: [`device ${name}`] });
    }
    return this.#findings;
  }

  /** Finds the tables of the nftables modes. */
  async #findTables(): Promise<void> {
    const found = await this.#readNft("nftables", nftTables);
    for (const owner of ["Sluice", "kube-proxy"] as const) {
      const origin = originOf(owner, "nftables");
      if (!differsFromOwn(origin, this.#own)) continue;
      this.#add({ kind: origin, what: ORIGIN_NAMES[origin], parts: found?.[owner] ?? [] });
    }
  }

  async #findLegacyChains(): Promise<void> {
    const found = noChains();
    const unseen: string[] = [];
    const forbidden: string[] = [];
    const mayHide = ["iptables-legacy", "sluice-iptables-legacy"] as const;
    for (const tables of this.#legacy) {
      const where = describeLegacyTable(tables, "nat");
      await this.#read(`kube-proxy's rules in ${where}`, mayHide, async () => {
        try {
          if (!(await findChainsInLegacy(tables, found))) unseen.push(where);
        } catch (error) {
          // Permissions that were withheld on purpose are not an error.
          if (!isForbidden(error)) throw error;
          forbidden.push(where);
        }
      });
    }
    this.#addChains("iptables-legacy", found);
    if (this.#ipvs) return;
    this.#add({ kind: "no-tools", what: NO_LEGACY_TOOLS, parts: unseen, mayHide });
    this.#add({ kind: "no-tools", what: NO_LEGACY_PERMISSION, parts: forbidden, mayHide });
  }

  #addChains(form: RuleFormat, found: OwnedChains): void {
    for (const owner of ["Sluice", "kube-proxy"] as const) {
      if (this.#ipvs && owner === "kube-proxy") continue;
      const { parts, acceptChains } = found[owner];
      const kind = originOf(owner, form);
      const all = [...parts, ...acceptChains];
      this.#add({ kind, what: ORIGIN_NAMES[kind], parts: all, acceptChains });
    }
    if (this.#ipvs) return;
    for (const dropPolicy of found.policies) {
      const { from, where, policyDrops } = dropPolicy;
      if (policyDrops) this.#add({ kind: "drop-policy", what: from, parts: [where], dropPolicy });
    }
  }

  #add(finding: Finding): void {
    if (finding.parts.length > 0) this.#findings.push(finding);
  }

  #readNft<T>(
    form: RuleFormat,
    read: (reader: NftReader) => T | Promise<T>,
  ): Promise<T | undefined> {
    const mayHide = [form, originOf("Sluice", form)];
    return this.#read(ORIGIN_NAMES[form], mayHide, () => withNftReader(this.#clock, read));
  }

  /** Returns undefined if reading fails, and records the failure as a finding. */
  async #read<T>(
    what: string,
    mayHide: readonly RuleOrigin[],
    read: () => T | Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      this.#add({ kind: "unreadable", what, parts: [error.message], mayHide });
      return undefined;
    }
  }
}

function isForbidden(error: unknown): boolean {
  if (!(error instanceof SluiceError)) return false;
  return isDenied(error.message) || /\b(EACCES|EPERM)\b/.test(error.message);
}

/**
 * Checks for the device of kube-proxy's ipvs mode.
 * @throws SluiceError NETLINK_SOCKET, NETLINK_REFUSED
 */
export function hasIpvs(): boolean {
  return filterExistingLinks([IPVS_DEVICE]).length > 0;
}

export function legacyTables(): readonly LegacyTables[] {
  return [new LegacyTables(4), new LegacyTables(6)];
}

/** Returns `iptables-legacy table nat`. */
export function describeLegacyTable(tables: LegacyTables, table: string): string {
  return `${tables.family === 4 ? "iptables" : "ip6tables"}-legacy table ${table}`;
}

/** The chains in all tables of one iptables variant, by owner. */
type OwnedChains = {
  readonly [owner in RuleOwner]: {
    readonly parts: string[];
    /** Accept chains that no policy makes necessary. */
    readonly acceptChains: string[];
  };
} & { readonly policies: DropPolicy[] };

function noChains(): OwnedChains {
  const none = () => ({ parts: [], acceptChains: [] });
  return { Sluice: none(), "kube-proxy": none(), policies: [] };
}

function addAcceptChains(
  found: OwnedChains,
  owner: RuleOwner,
  states: readonly AcceptChainState[],
  place: { readonly family: Family; readonly where: string; readonly legacy: boolean },
): void {
  for (const state of states) {
    if (state.exists && !isAcceptChainRequired(state)) {
      found[owner].acceptChains.push(`${place.where} ${state.chain}`);
    }
    found.policies.push({ ...state, ...place });
  }
}

function nftTables(reader: NftReader): { readonly [owner in RuleOwner]: readonly string[] } {
  if (!reader.isAvailable()) return { Sluice: [], "kube-proxy": [] };
  const families = NFT_FAMILY_NAMES.filter((family) => reader.hasTable(family, KUBE_PROXY_TABLE));
  return {
    Sluice: reader.ownTable() === "ours" ? [`table inet ${TABLE}`] : [],
    "kube-proxy": families.map((family) => `table ${family} ${KUBE_PROXY_TABLE}`),
  };
}

async function nftChains(reader: NftReader): Promise<OwnedChains> {
  const found = noChains();
  if (!reader.isAvailable()) return found;
  const ofFilter = new Set(ACCEPT_CHAINS.map(({ chain }) => chain));
  for (const family of NFT_FAMILY_NAMES) {
    const owner = ownerOfChains((chain) => reader.hasChain(family, "nat", chain));
    for (const table of IPTABLES_TABLES) {
      const where = `table ${family} ${table}`;
      const own = KUBE_PROXY_MARKER_CHAINS[table].filter(
        (chain) => table !== "filter" || !ofFilter.has(chain),
      );
      for (const chain of own) {
        if (reader.hasChain(family, table, chain)) found[owner].parts.push(`${where} ${chain}`);
      }
      if (table !== "filter") continue;
      const states = await readAcceptChains({
        chain: (name) => reader.chain(family, table, name),
        rules: (chain) => reader.rules(family, table, chain),
      });
      const place = { family: familyOf(family), where, legacy: false };
      addAcceptChains(found, owner, states, place);
    }
  }
  return found;
}

/** Adds chains to `found`. Returns false if there may be chains but no tool can read them. */
async function findChainsInLegacy(tables: LegacyTables, found: OwnedChains): Promise<boolean> {
  const names = await tables.names();
  const usable = names.length === 0 || (await tables.isUsable());
  let owner: RuleOwner = "kube-proxy";
  if (usable && names.includes("nat")) {
    const chains = await tables.chains("nat");
    // Name only the chain that leads to all others.
    if (chains.has(SERVICES)) {
      owner = ownerOfChains((chain) => chains.has(chain));
      found[owner].parts.push(`${describeLegacyTable(tables, "nat")} ${SERVICES}`);
    }
  }
  if (usable && names.includes("filter")) {
    const states = await readAcceptChains(filterTableOf(parseSaved(await tables.save("filter"))));
    const where = describeLegacyTable(tables, "filter");
    addAcceptChains(found, owner, states, { family: tables.family, where, legacy: true });
  }
  return usable || !names.includes("nat");
}

function filterTableOf({ chains, rules }: SavedTable): FilterTable {
  return {
    chain: (name) => chains.find((chain) => chain.name === name),
    rules: (name) => rules.get(name) ?? [],
  };
}
