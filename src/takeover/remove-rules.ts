/** Removes what kube-proxy, or another mode of our own, left in the kernel; rules of everybody else stay as they are. */
import { readFileSync } from "node:fs";
import type { RuleForm } from "../backend/capabilities.ts";
import { SluiceError } from "../base/errors.ts";
import { XTABLES } from "../iptables/syntax/known-chains.ts";
import type { LegacyTables } from "../iptables/tools/legacy-tables.ts";
import type { Family } from "../net/address.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { ownerOfTable, removeTable as removeOwnTable } from "../nftables/remove-table.ts";
import { TABLE } from "../nftables/wire/object-names.ts";
import { BLIND, FAMILIES_OF_NFT, hasIpvs, type LookOptions, legacyTables } from "./find-rules.ts";
import { type ChainsOptions, ROUTE_LOCALNET } from "./firewall.ts";
import { makerOf } from "./kube-proxy-chains.ts";
import { NftReader } from "./read-nft.ts";
import { NOTHING, type Removal, together } from "./removal.ts";
import { legacyTable, removeLegacy } from "./remove-legacy.ts";
import { removeChains, removeTable } from "./remove-nft.ts";
import { ALL_KINDS, isBeside, kindOf, type Maker, type RulesKind } from "./rule-origin.ts";
import {
  familyOf,
  type Successor,
  servedByTable,
  sharedWithIpvs,
  stillNeeded,
} from "./successor.ts";

export interface RemoveOptions extends LookOptions {
  /** Chains that accept what the policy of a firewall would drop stay for as long as it would. */
  readonly keepNeeded: boolean;
  /** KUBE-FIREWALL too, where no kubelet is and it guards nothing. */
  readonly firewall?: boolean;
  /** A kube-proxy that runs: what is ours stays until it serves in its place. */
  readonly successor?: Successor | undefined;
}

/**
 * Every table is a step of its own: what fails is in `failures`, and the next one is tried. Nothing to remove is
 * no failure, and what is our own by `options.own` is never touched.
 */
export async function removeKubeProxyRules(
  options: RemoveOptions,
  kinds: readonly RulesKind[] = ALL_KINDS,
): Promise<Removal> {
  const { clock, own, legacy = legacyTables(), successor } = options;
  const wanted = kinds.filter((kind) => isBeside(kind, own));
  const done: Removal[] = [];
  const step = async (remove: () => Removal | Promise<Removal>) => {
    done.push(await attempt(remove));
  };
  // Chains of the IPVS mode are not told from those of kube-proxy's iptables mode.
  let ipvs = true;
  await step(() => {
    ipvs = hasIpvs();
    return NOTHING;
  });
  const goes = (maker: Maker, way: RuleForm) =>
    wanted.includes(kindOf(maker, way)) && (maker === "Sluice" || !ipvs);
  const may = (way: RuleForm) => goes("Sluice", way) || goes("kube-proxy", way);
  const firewall = firewallFate(options);
  /** Why chains stay, if they must. @throws SluiceError OTHER_PROXY, if they will not have to for long */
  const stays = (maker: Maker, family: Family, where: string): Removal | undefined => {
    if (maker !== "Sluice" || successor === undefined) return;
    const what = `Sluice's chains in ${where}`;
    if (ipvs) return { ...NOTHING, notes: [sharedWithIpvs(what, successor)] };
    if (successor.families.has(family)) return;
    throw stillNeeded(what, successor, { takes: true });
  };
  const chains = (maker: Maker): ChainsOptions => ({
    maker,
    firewall,
    keepNeeded: options.keepNeeded,
  });

  await step(async () => {
    const socket = new NetlinkSocket(NETLINK_NETFILTER);
    const tools = { socket, reader: new NftReader(socket, clock), clock };
    try {
      if (!tools.reader.isThere()) return NOTHING;
      if (wanted.includes("sluice-nftables")) await step(() => removeOwn(socket, successor));
      for (const family of FAMILIES_OF_NFT) {
        if (wanted.includes("nftables")) await step(() => removeTable(tools, family));
        if (!may("iptables")) continue;
        await step(async () => {
          const maker = makerOf((chain) => tools.reader.hasChain(family, "nat", chain));
          if (!goes(maker, "iptables")) return NOTHING;
          const staying = stays(maker, familyOf(family), `table ${family} nat`);
          if (staying !== undefined) return staying;
          for (const table of XTABLES) {
            await step(() => removeChains(tools, family, table, chains(maker)));
          }
          return NOTHING;
        });
      }
    } finally {
      socket.close();
    }
    return NOTHING;
  });
  for (const tables of may("iptables-legacy") ? legacy : []) {
    await step(async () => {
      const names = await tables.names();
      const used = XTABLES.filter((table) => names.includes(table));
      if (used.length === 0) return NOTHING;
      if (!(await tables.usable())) {
        throw new SluiceError(
          "TOOL_FAILED",
          `Cannot look into ${BLIND}: ${legacyTable(tables, used.join(", "))}`,
        );
      }
      const maker = await makerInLegacy(tables, used);
      if (!goes(maker, "iptables-legacy")) return NOTHING;
      const staying = stays(maker, tables.family, legacyTable(tables, "nat"));
      if (staying !== undefined) return staying;
      for (const table of used) await step(() => removeLegacy(tables, table, chains(maker)));
      return NOTHING;
    });
  }
  return together(done);
}

function removeOwn(socket: NetlinkSocket, successor: Successor | undefined): Removal {
  if (successor !== undefined && ownerOfTable(socket) === "ours") {
    const needed = servedByTable(socket);
    const served = ({ families }: Successor) =>
      families.size > 0 && needed.every((family) => families.has(family));
    if (!served(successor)) {
      throw stillNeeded(`table inet ${TABLE}`, successor, { takes: false });
    }
  }
  const outcome = removeOwnTable(socket);
  if (outcome === "removed") return { ...NOTHING, removed: [`the table inet ${TABLE}`] };
  if (outcome === "absent") return NOTHING;
  throw new SluiceError(
    "TABLE_FOREIGN",
    `Cannot remove table inet ${TABLE}: sluice must have made it: its comment says that somebody else did`,
    `table inet ${TABLE}`,
  );
}

async function makerInLegacy(tables: LegacyTables, used: readonly string[]): Promise<Maker> {
  const chains = used.includes("nat") ? await tables.chains("nat") : new Set<string>();
  return makerOf((chain) => chains.has(chain));
}

function firewallFate({ firewall = false }: RemoveOptions): ChainsOptions["firewall"] {
  if (!firewall) return "stays";
  const path = `/proc/sys/${ROUTE_LOCALNET.replaceAll(".", "/")}`;
  try {
    return readFileSync(path, "utf8").trim() === "0" ? "goes" : "goes unless it guards";
  } catch {
    return "goes unless it guards";
  }
}

async function attempt(remove: () => Removal | Promise<Removal>): Promise<Removal> {
  try {
    return await remove();
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return { ...NOTHING, failures: [error] };
  }
}
