/**
 * A kube-proxy that runs beside us at a cleanup is there to take our place. It has no rules before its first sync, which
 * may be long after its start, and waits for the API server: until then ours serve, and must stay.
 *
 * Chains of our iptables mode it takes over by that sync, in which it writes those of the same names and deletes the others
 * (pkg/proxy/iptables/proxier.go), if it is of the same mode and variant. If not, they are left over, as our table is.
 */
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { parseSaved } from "../iptables/syntax/iptables-save.ts";
import { SERVICES } from "../iptables/syntax/known-chains.ts";
import type { LegacyTables } from "../iptables/tools/legacy-tables.ts";
import { tableId, tableLabel } from "../model/tables.ts";
import type { Family } from "../net/address.ts";
import { ENOENT } from "../netlink/constants.ts";
import { errnoOf } from "../netlink/netlink-errors.ts";
import type { Netlink } from "../netlink/socket.ts";
import { readElements } from "../nftables/read/read-elements.ts";
import { FAMILIES_OF_NFT } from "./find-rules.ts";
import { makerOf } from "./kube-proxy-chains.ts";
import { type NftFamily, type NftReader, withReader } from "./read-nft.ts";
import { KUBE_PROXY_TABLE } from "./remove-nft.ts";

export interface Successor {
  /** `kube-proxy (pid 12)` */
  readonly name: string;
  /** Families in which it has rules of its own in the kernel, of any mode. */
  readonly families: ReadonlySet<Family>;
}

/** The chain of its nftables mode that every packet for a Service comes to; all of a table comes in one transaction. */
const SERVICES_OF_NFT = "services";
/** It listens there once the API server has answered. */
const HEALTH = "http://127.0.0.1:10256/healthz";

export function familyOf(family: NftFamily): Family {
  return family === "ip" ? 4 : 6;
}

/** Families in which a kube-proxy has filled tables. @throws SluiceError when that cannot be told */
export async function servedByKubeProxy(
  clock: Clock,
  legacy: readonly LegacyTables[],
): Promise<ReadonlySet<Family>> {
  const served = new Set<Family>();
  await withReader(clock, async (reader) => {
    if (!reader.isThere()) return;
    for (const family of FAMILIES_OF_NFT) {
      if (await isFilled(reader, family)) served.add(familyOf(family));
    }
  });
  for (const tables of legacy) {
    if (!(await tables.names()).includes("nat") || !(await tables.usable())) continue;
    const { chains, rules } = parseSaved(await tables.save("nat"));
    const names = new Set(chains.map(({ name }) => name));
    if (makerOf((chain) => names.has(chain)) === "Sluice") continue;
    // It is made empty at first; then filled in one restore, even where there is no Service.
    if (rules.has(SERVICES)) served.add(tables.family);
  }
  return served;
}

async function isFilled(reader: NftReader, family: NftFamily): Promise<boolean> {
  const own = await reader.rules(family, KUBE_PROXY_TABLE, SERVICES_OF_NFT);
  if (own.length > 0) return true;
  const maker = makerOf((chain) => reader.hasChain(family, "nat", chain));
  return maker !== "Sluice" && (await reader.rules(family, "nat", SERVICES)).length > 0;
}

/** Families in which our table has a Service: the others need no successor. @throws SluiceError NETLINK_REFUSED */
export function servedByTable(socket: Netlink): readonly Family[] {
  return ([4, 6] as const).filter((family) => {
    let some = false;
    const each = () => {
      some = true;
    };
    try {
      readElements(socket, tableLabel(tableId("frontends", family)), () => {}, each);
    } catch (error) {
      // The table of a version that called its maps otherwise.
      if (errnoOf(error) !== ENOENT) throw error;
    }
    return some;
  });
}

/** Why `what` must stay for now. `takes`: it may be what the successor takes over. */
export function stillNeeded(
  what: string,
  { name }: Successor,
  { takes }: { readonly takes: boolean },
): SluiceError {
  const over = takes ? ", and takes them over at its first sync" : "";
  const message = `Cannot remove ${what}: ${name} has no rules yet${over}: Sluice's stay; wait until ${HEALTH} answers 200, then again`;
  return new SluiceError("OTHER_PROXY", message, "kube-proxy");
}

/** Of a successor in IPVS mode, which never deletes what only we have. */
export function sharedWithIpvs(what: string, { name }: Successor): string {
  return `${what} stay: ${name} has its IPVS mode here, whose chains bear the same names; they go with the next boot`;
}
