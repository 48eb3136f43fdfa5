/**
 * Handles a kube-proxy that runs during a cleanup, to replace Sluice. It has no rules before its
 * first sync. That can be long after its start, because it waits for the API server. Until then our
 * rules serve and must stay.
 *
 * If it has the same mode and variant, its first sync takes over the chains of our iptables mode.
 * It writes chains with the same names and deletes the others (pkg/proxy/iptables/proxier.go).
 * Otherwise our chains are left over, like our table.
 */
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { parseSaved } from "../iptables/syntax/iptables-save.ts";
import { SERVICES } from "../iptables/syntax/known-chains.ts";
import type { LegacyTables } from "../iptables/tools/legacy-tables.ts";
import { tableId, tableLabel } from "../model/tables.ts";
import type { Family } from "../net/address.ts";
import type { Netlink } from "../netlink/socket.ts";
import { readElements } from "../nftables/read/read-elements.ts";
import { ENOENT } from "../os/posix.ts";
import { errnoOf } from "../os/system-error.ts";
import {
  familyOf,
  NFT_FAMILY_NAMES,
  type NftFamily,
  type NftReader,
  withNftReader,
} from "./nft-reader.ts";
import { ownerOfChains } from "./removable-chains.ts";
import { KUBE_PROXY_TABLE } from "./rule-origin.ts";

export interface Successor {
  /** `kube-proxy (pid 12)` */
  readonly name: string;
  /** Families for which it has rules of its own in the kernel, in any mode. */
  readonly families: ReadonlySet<Family>;
}

/**
 * The chain of its nftables mode that every packet for a Service reaches. kube-proxy writes the
 * whole table in one transaction.
 */
const SERVICES_OF_NFT = "services";
/** kube-proxy serves this once the API server has answered. */
const HEALTH = "http://127.0.0.1:10256/healthz";

/**
 * Families for which a kube-proxy has filled tables.
 * @throws SluiceError when a table cannot be read
 */
export async function familiesOfKubeProxy(
  clock: Clock,
  legacy: readonly LegacyTables[],
): Promise<ReadonlySet<Family>> {
  const served = new Set<Family>();
  await withNftReader(clock, async (reader) => {
    if (!reader.isAvailable()) return;
    for (const family of NFT_FAMILY_NAMES) {
      if (await isFilled(reader, family)) served.add(familyOf(family));
    }
  });
  for (const tables of legacy) {
    if (!(await tables.names()).includes("nat") || !(await tables.isUsable())) continue;
    const { chains, rules } = parseSaved(await tables.save("nat"));
    const names = new Set(chains.map(({ name }) => name));
    if (ownerOfChains((chain) => names.has(chain)) === "Sluice") continue;
    // kube-proxy first creates the chain empty, then fills it in one restore, even without
    // Services.
    if (rules.has(SERVICES)) served.add(tables.family);
  }
  return served;
}

async function isFilled(reader: NftReader, family: NftFamily): Promise<boolean> {
  const own = await reader.rules(family, KUBE_PROXY_TABLE, SERVICES_OF_NFT);
  if (own.length > 0) return true;
  const owner = ownerOfChains((chain) => reader.hasChain(family, "nat", chain));
  return owner !== "Sluice" && (await reader.rules(family, "nat", SERVICES)).length > 0;
}

/**
 * Families for which our table has a Service. The others need no successor.
 * @throws SluiceError NETLINK_REFUSED
 */
export function familiesOfTable(socket: Netlink): readonly Family[] {
  return ([4, 6] as const).filter((family) => {
    let some = false;
    const each = () => {
      some = true;
    };
    try {
      readElements(socket, tableLabel(tableId("frontends", family)), () => {}, each);
    } catch (error) {
      // A version with different map names created the table.
      if (errnoOf(error) !== ENOENT) throw error;
    }
    return some;
  });
}

/**
 * The error that explains why `what` must stay for now. `takes`: the successor may take it over.
 */
export function stillNeededError(
  what: string,
  { name }: Successor,
  { takes }: { readonly takes: boolean },
): SluiceError {
  const over = takes ? " and adopts them at its first sync" : "";
  const message = `remove ${what}: ${name} has no rules yet${over}; Sluice's rules stay (run --cleanup again when ${HEALTH} answers 200)`;
  return new SluiceError("OTHER_PROXY", message, "kube-proxy");
}

/** The message about a successor in ipvs mode, which never deletes chains that only Sluice has. */
export function ipvsMessage(what: string, { name }: Successor): string {
  return `Kept ${what}: ${name} runs in ipvs mode, which uses the same chain names (a reboot removes them)`;
}
