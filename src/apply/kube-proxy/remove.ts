/** Removes what kube-proxy left in the kernel; rules of everybody else stay as they are. */
import { SluiceError } from "../../errors.ts";
import { NETLINK_NETFILTER } from "../netlink/constants.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { XTABLES } from "./chains.ts";
import {
  BLIND,
  FAMILIES_OF_NFT,
  hasIpvs,
  type LookOptions,
  legacyTables,
  type RulesKind,
} from "./find.ts";
import { legacyTable, removeLegacy } from "./legacy-remove.ts";
import { NftReader } from "./nft-read.ts";
import { removeChains, removeTable } from "./nft-remove.ts";
import { NOTHING, type Removal, together } from "./removal.ts";

export interface RemoveOptions extends LookOptions {
  /** Chains that accept what the policy of a firewall would drop stay for as long as it would. */
  readonly keepNeeded: boolean;
}

export const ALL_KINDS: readonly RulesKind[] = ["nftables", "iptables", "iptables-legacy"];

/**
 * Every table is a step of its own: what fails is in `failures`, and the next one is tried. Nothing to remove is
 * no failure.
 */
export async function removeKubeProxyRules(
  options: RemoveOptions,
  kinds: readonly RulesKind[] = ALL_KINDS,
): Promise<Removal> {
  const { clock, legacy = legacyTables(), keepNeeded } = options;
  const done: Removal[] = [];
  const step = async (remove: () => Removal | Promise<Removal>) => {
    done.push(await attempt(remove));
  };
  // Chains of the IPVS mode are not told from those of the iptables mode.
  let chains: readonly RulesKind[] = [];
  await step(() => {
    if (!hasIpvs()) chains = kinds;
    return NOTHING;
  });
  await step(async () => {
    const socket = new NetlinkSocket(NETLINK_NETFILTER);
    const tools = { socket, reader: new NftReader(socket, clock), clock, keepNeeded };
    try {
      for (const family of FAMILIES_OF_NFT) {
        if (kinds.includes("nftables")) await step(() => removeTable(tools, family));
        if (!chains.includes("iptables")) continue;
        for (const table of XTABLES) await step(() => removeChains(tools, family, table));
      }
    } finally {
      socket.close();
    }
    return NOTHING;
  });
  for (const tables of chains.includes("iptables-legacy") ? legacy : []) {
    await step(async () => {
      const names = await tables.names();
      const used = XTABLES.filter((table) => names.includes(table));
      if (used.length > 0 && !(await tables.usable())) {
        return { ...NOTHING, notes: [`${BLIND}: ${legacyTable(tables, used.join(", "))}`] };
      }
      for (const table of used) await step(() => removeLegacy(tables, table, keepNeeded));
      return NOTHING;
    });
  }
  return together(done);
}

async function attempt(remove: () => Removal | Promise<Removal>): Promise<Removal> {
  try {
    return await remove();
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return { ...NOTHING, failures: [error] };
  }
}
