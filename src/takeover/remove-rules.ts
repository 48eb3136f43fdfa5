/**
 * Removes the rules that kube-proxy, or another mode of Sluice, left in the kernel. Rules of other
 * programs stay as they are.
 */
import { readFileSync } from "node:fs";
import type { RuleFormat } from "../backend/capabilities.ts";
import { SluiceError } from "../base/errors.ts";
import { IPTABLES_TABLES } from "../iptables/syntax/known-chains.ts";
import type { LegacyTables } from "../iptables/tools/legacy-tables.ts";
import type { Family } from "../net/address.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { ownerOfTable, removeTable as removeOwnTable } from "../nftables/remove-table.ts";
import { TABLE } from "../nftables/wire/object-names.ts";
import {
  describeLegacyTable,
  type FindOptions,
  hasIpvs,
  legacyTables,
  NOT_INSTALLED,
} from "./find-rules.ts";
import { type RemovalConditions, ROUTE_LOCALNET_SYSCTL } from "./firewall-policy.ts";
import { familyOf, NFT_FAMILY_NAMES, type NftFamily, NftReader } from "./nft-reader.ts";
import { ownerOfChains } from "./removable-chains.ts";
import { mergeRemovals, NOTHING_REMOVED, type Removal } from "./removal.ts";
import {
  type NftTools,
  removeKubeProxyTable,
  removeLegacyChains,
  removeNftChains,
} from "./remove-chains.ts";
import {
  ALL_ORIGINS,
  differsFromOwn,
  originOf,
  type RuleOrigin,
  type RuleOwner,
} from "./rule-origin.ts";
import { familiesOfTable, ipvsMessage, type Successor, stillNeededError } from "./successor.ts";

export interface RemoveOptions extends FindOptions {
  /** Keep chains that accept packets while a firewall's policy would drop them. */
  readonly keepRequired: boolean;
  /** Also remove KUBE-FIREWALL, if no kubelet runs and the chain guards nothing. */
  readonly firewall?: boolean;
  /** A running kube-proxy. Our rules stay until it serves instead. */
  readonly successor?: Successor | undefined;
}

/**
 * Removes the rules of these origins. Every table is a separate step: a failed step is added to
 * `failures`, and the next one follows. Having nothing to remove is no failure. Never touches our
 * own rules (`options.own`).
 */
export async function removeKubeProxyRules(
  options: RemoveOptions,
  origins: readonly RuleOrigin[] = ALL_ORIGINS,
): Promise<Removal> {
  return await new RuleRemover(options, origins).run();
}

class RuleRemover {
  readonly #options: RemoveOptions;
  readonly #origins: readonly RuleOrigin[];
  readonly #firewall: RemovalConditions["firewall"];
  readonly #done: Removal[] = [];
  /**
   * kube-proxy's ipvs mode is present, or may be. Its chains have the same names as in iptables
   * mode.
   */
  #ipvs = true;

  constructor(options: RemoveOptions, origins: readonly RuleOrigin[]) {
    this.#options = options;
    this.#origins = origins.filter((origin) => differsFromOwn(origin, options.own));
    this.#firewall = firewallChoice(options);
  }

  async run(): Promise<Removal> {
    const { legacy = legacyTables() } = this.#options;
    await this.#step(() => {
      this.#ipvs = hasIpvs();
      return NOTHING_REMOVED;
    });
    await this.#step(() => this.#removeFromNft());
    if (this.#mayRemove("iptables-legacy")) {
      for (const tables of legacy) await this.#step(() => this.#removeFromLegacy(tables));
    }
    return mergeRemovals(this.#done);
  }

  async #step(remove: () => Removal | Promise<Removal>): Promise<void> {
    this.#done.push(await attempt(remove));
  }

  async #removeFromNft(): Promise<Removal> {
    const { clock, successor } = this.#options;
    const socket = new NetlinkSocket(NETLINK_NETFILTER);
    const tools = { socket, reader: new NftReader(socket, clock), clock };
    try {
      if (!tools.reader.isAvailable()) return NOTHING_REMOVED;
      if (this.#origins.includes("sluice-nftables")) {
        await this.#step(() => removeOwnTableFor(socket, successor));
      }
      for (const family of NFT_FAMILY_NAMES) {
        if (this.#origins.includes("nftables")) {
          await this.#step(() => removeKubeProxyTable(tools, family));
        }
        if (this.#mayRemove("iptables")) {
          await this.#step(() => this.#removeChains(tools, family));
        }
      }
    } finally {
      socket.close();
    }
    return NOTHING_REMOVED;
  }

  /** Removes the chains of iptables-nft. */
  async #removeChains(tools: NftTools, family: NftFamily): Promise<Removal> {
    const owner = ownerOfChains((chain) => tools.reader.hasChain(family, "nat", chain));
    if (!this.#isToRemove(owner, "iptables")) return NOTHING_REMOVED;
    const keptFor = this.#reasonToKeep(owner, familyOf(family), `table ${family} nat`);
    if (keptFor !== undefined) return keptFor;
    for (const table of IPTABLES_TABLES) {
      await this.#step(() => removeNftChains(tools, family, table, this.#chainsOptions(owner)));
    }
    return NOTHING_REMOVED;
  }

  async #removeFromLegacy(tables: LegacyTables): Promise<Removal> {
    const names = await tables.names();
    const used = IPTABLES_TABLES.filter((table) => names.includes(table));
    if (used.length === 0) return NOTHING_REMOVED;
    if (!(await tables.isUsable())) {
      throw new SluiceError(
        "TOOL_FAILED",
        `read ${describeLegacyTable(tables, used.join(", "))}: ${NOT_INSTALLED}`,
      );
    }
    const owner = await ownerInLegacy(tables, used);
    if (!this.#isToRemove(owner, "iptables-legacy")) return NOTHING_REMOVED;
    const keptFor = this.#reasonToKeep(owner, tables.family, describeLegacyTable(tables, "nat"));
    if (keptFor !== undefined) return keptFor;
    for (const table of used) {
      await this.#step(() => removeLegacyChains(tables, table, this.#chainsOptions(owner)));
    }
    return NOTHING_REMOVED;
  }

  #isToRemove(owner: RuleOwner, form: RuleFormat): boolean {
    const wanted = this.#origins.includes(originOf(owner, form));
    return wanted && (owner === "Sluice" || !this.#ipvs);
  }

  #mayRemove(form: RuleFormat): boolean {
    return this.#isToRemove("Sluice", form) || this.#isToRemove("kube-proxy", form);
  }

  /**
   * The message about chains that must stay for good; undefined if they may be removed now.
   * @throws SluiceError OTHER_PROXY, if they must stay only for a while
   */
  #reasonToKeep(owner: RuleOwner, family: Family, where: string): Removal | undefined {
    const { successor } = this.#options;
    if (owner !== "Sluice" || successor === undefined) return undefined;
    const what = `Sluice's chains in ${where}`;
    if (this.#ipvs) return { ...NOTHING_REMOVED, messages: [ipvsMessage(what, successor)] };
    if (successor.families.has(family)) return undefined;
    throw stillNeededError(what, successor, { takes: true });
  }

  #chainsOptions(owner: RuleOwner): RemovalConditions {
    return { owner, firewall: this.#firewall, keepRequired: this.#options.keepRequired };
  }
}

function removeOwnTableFor(socket: NetlinkSocket, successor: Successor | undefined): Removal {
  if (successor !== undefined && ownerOfTable(socket) === "ours") {
    const needed = familiesOfTable(socket);
    const served = ({ families }: Successor) =>
      families.size > 0 && needed.every((family) => families.has(family));
    if (!served(successor)) {
      throw stillNeededError(`table inet ${TABLE}`, successor, { takes: false });
    }
  }
  const outcome = removeOwnTable(socket);
  if (outcome === "removed") return { ...NOTHING_REMOVED, removed: [`table inet ${TABLE}`] };
  if (outcome === "absent") return NOTHING_REMOVED;
  throw new SluiceError(
    "TABLE_FOREIGN",
    `delete table inet ${TABLE}: another program owns it, as its comment shows (if nothing needs it, run \`nft delete table inet ${TABLE}\`)`,
    `table inet ${TABLE}`,
  );
}

async function ownerInLegacy(tables: LegacyTables, used: readonly string[]): Promise<RuleOwner> {
  const chains = used.includes("nat") ? await tables.chains("nat") : new Set<string>();
  return ownerOfChains((chain) => chains.has(chain));
}

function firewallChoice({ firewall = false }: RemoveOptions): RemovalConditions["firewall"] {
  if (!firewall) return "keep";
  const path = `/proc/sys/${ROUTE_LOCALNET_SYSCTL.replaceAll(".", "/")}`;
  try {
    return readFileSync(path, "utf8").trim() === "0" ? "remove" : "remove-unless-guarding";
  } catch {
    return "remove-unless-guarding";
  }
}

async function attempt(remove: () => Removal | Promise<Removal>): Promise<Removal> {
  try {
    return await remove();
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return { ...NOTHING_REMOVED, failures: [error] };
  }
}
