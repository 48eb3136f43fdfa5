/** Takes kube-proxy's rules out of nf_tables: the tables of its nftables mode, chains of its names of iptables-nft. */
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { FIREWALL, isKubeProxyChain, type Xtable } from "../iptables/syntax/known-chains.ts";
import { ENOENT } from "../netlink/constants.ts";
import { printRefusal, systemError } from "../netlink/netlink-errors.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { type Attribute, writeAttributes } from "../nftables/wire/expressions.ts";
import { Batch } from "../nftables/wire/message-batch.ts";
import * as nft from "../nftables/wire/nf-tables.ts";
import { type ChainsOptions, filterOf } from "./firewall.ts";
import { findLeftovers, type Leftovers } from "./kube-proxy-chains.ts";
import { NFT_FAMILIES, type NftFamily, type NftReader } from "./read-nft.ts";
import { NOTHING, type Removal, removalOf, together } from "./removal.ts";
import type { Maker } from "./rule-origin.ts";

/** The table of kube-proxy's nftables mode, in both families: kubernetes pkg/proxy/nftables/proxier.go. */
export const KUBE_PROXY_TABLE = "kube-proxy";

/**
 * Chains flushed or deleted in one transaction. The first one takes the jumps, after which no packet comes to
 * the rest.
 */
const CHAINS_AT_ONCE = 250;
/**
 * Between two transactions: who watches nf_tables, as we do ourselves, hears of every rule that goes, and must
 * have the time to.
 */
const REST_MS = 10;

interface Tools {
  readonly socket: NetlinkSocket;
  readonly reader: NftReader;
  readonly clock: Clock;
}

/** Deletes table `kube-proxy` of a family. @throws SluiceError NETLINK_REFUSED, PERMISSION_DENIED, NETLINK_SOCKET */
export function removeTable({ socket, reader }: Tools, family: NftFamily): Removal {
  if (!reader.hasTable(family, KUBE_PROXY_TABLE)) return NOTHING;
  const batch = new Batch(NFT_FAMILIES[family]);
  batch.begin();
  write(batch, nft.NFT_MSG_DELTABLE, [[nft.NFTA_TABLE_NAME, KUBE_PROXY_TABLE]]);
  const name = `the table ${family} ${KUBE_PROXY_TABLE}`;
  return send(batch, socket, `delete ${name}`) ? { ...NOTHING, removed: [name] } : NOTHING;
}

/** Deletes the chains in one table of iptables-nft. Throws as `removeTable`. */
export async function removeChains(
  tools: Tools,
  family: NftFamily,
  table: Xtable,
  options: ChainsOptions,
): Promise<Removal> {
  const { reader } = tools;
  const where = `table ${family} ${table}`;
  const chains = await reader.chains(family, table);
  if (!chains.some(({ name }) => isKubeProxyChain(table, name) || name === FIREWALL)) {
    return NOTHING;
  }
  const rulesOf = (chain: string) => reader.rules(family, table, chain);
  const filter = table === "filter" ? await filterOf(where, chains, rulesOf, options) : undefined;
  const leftovers = await findLeftovers(table, chains, rulesOf, filter);
  const { maker } = options;
  await deleteAll(tools, family, table, maker, leftovers);
  return together([removalOf(where, maker, leftovers), filter?.stays ?? NOTHING]);
}

async function deleteAll(
  { socket, clock }: Tools,
  family: NftFamily,
  table: Xtable,
  maker: Maker,
  { jumps, chains }: Leftovers<bigint>,
): Promise<void> {
  if (jumps.length + chains.length === 0) return;
  const batch = new Batch(NFT_FAMILIES[family]);
  batch.begin();
  const what = `delete ${maker}'s chains in table ${family} ${table}`;
  for (const { chain, id } of jumps) {
    write(batch, nft.NFT_MSG_DELRULE, [
      [nft.NFTA_RULE_TABLE, table],
      [nft.NFTA_RULE_CHAIN, chain],
      [nft.NFTA_RULE_HANDLE, id],
    ]);
  }
  const commit = () => {
    if (send(batch, socket, what)) return;
    const rule = "nobody else may change them meanwhile: some are gone";
    throw new SluiceError("NETLINK_REFUSED", `Cannot ${what}: ${rule}`);
  };
  const each = async (type: number, attributes: (chain: string) => readonly Attribute[]) => {
    for (const chain of chains) {
      if (batch.count >= CHAINS_AT_ONCE) {
        commit();
        batch.begin();
        await new Promise<void>((resolve) => clock.after(REST_MS, resolve));
      }
      write(batch, type, attributes(chain));
    }
  };
  await each(nft.NFT_MSG_DELRULE, (chain) => [
    [nft.NFTA_RULE_TABLE, table],
    [nft.NFTA_RULE_CHAIN, chain],
  ]);
  await each(nft.NFT_MSG_DELCHAIN, (chain) => [
    [nft.NFTA_CHAIN_TABLE, table],
    [nft.NFTA_CHAIN_NAME, chain],
  ]);
  commit();
}

function write(batch: Batch, type: number, attributes: readonly Attribute[]): void {
  const message = batch.open(type, 0);
  writeAttributes(batch.writer, attributes);
  batch.close(message);
}

/** False if the kernel says that something is not there any more. */
function send(batch: Batch, socket: NetlinkSocket, what: string): boolean {
  const refusal = batch.send(socket).refusals[0];
  if (refusal === undefined) return true;
  if (refusal.errno === ENOENT) return false;
  throw systemError(what, refusal.errno, "NETLINK_REFUSED", printRefusal(refusal));
}
