/**
 * Removes the tables of kube-proxy's nftables mode, and chains with kube-proxy's names: from
 * nf_tables over netlink, from iptables-legacy with its tools.
 */
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { parseSaved, printRemoval } from "../iptables/syntax/iptables-save.ts";
import { FIREWALL, type IptablesTable, isKubeProxyChain } from "../iptables/syntax/known-chains.ts";
import type { LegacyTables } from "../iptables/tools/legacy-tables.ts";
import { refusalError } from "../netlink/netlink-errors.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { type Attribute, writeAttributes } from "../nftables/wire/expressions.ts";
import { Batch } from "../nftables/wire/message-batch.ts";
import * as nft from "../nftables/wire/nf-tables.ts";
import { ENOENT } from "../os/posix.ts";
import { describeLegacyTable } from "./find-rules.ts";
import { chooseLeftoverOptions, type RemovalConditions } from "./firewall-policy.ts";
import { NFT_FAMILIES, type NftFamily, type NftReader } from "./nft-reader.ts";
import { findLeftovers, type Leftovers } from "./removable-chains.ts";
import { describeRemoval, mergeRemovals, NOTHING_REMOVED, type Removal } from "./removal.ts";
import { KUBE_PROXY_TABLE, type RuleOwner } from "./rule-origin.ts";

/**
 * Number of chains flushed or deleted in one transaction. The first transaction deletes the jumps,
 * so that no packet reaches the remaining chains.
 */
const CHAINS_AT_ONCE = 250;
/**
 * Pause between two transactions, in ms. A process that watches nf_tables, such as Sluice, receives
 * an event for every deleted rule and needs time to read them.
 */
const PAUSE_MS = 10;

export interface NftTools {
  readonly socket: NetlinkSocket;
  readonly reader: NftReader;
  readonly clock: Clock;
}

/**
 * Deletes the table `kube-proxy` of a family.
 * @throws SluiceError NETLINK_REFUSED, PERMISSION_DENIED, NETLINK_SOCKET
 */
export function removeKubeProxyTable({ socket, reader }: NftTools, family: NftFamily): Removal {
  if (!reader.hasTable(family, KUBE_PROXY_TABLE)) return NOTHING_REMOVED;
  const batch = new Batch(NFT_FAMILIES[family]);
  batch.begin();
  writeDelete(batch, nft.NFT_MSG_DELTABLE, [[nft.NFTA_TABLE_NAME, KUBE_PROXY_TABLE]]);
  const name = `table ${family} ${KUBE_PROXY_TABLE}`;
  return sendBatch(batch, socket, `delete ${name}`)
    ? { ...NOTHING_REMOVED, removed: [name] }
    : NOTHING_REMOVED;
}

/** Deletes the chains in one table of iptables-nft. Throws like `removeKubeProxyTable`. */
export async function removeNftChains(
  tools: NftTools,
  family: NftFamily,
  table: IptablesTable,
  options: RemovalConditions,
): Promise<Removal> {
  const { reader } = tools;
  const where = `table ${family} ${table}`;
  const chains = await reader.chains(family, table);
  if (!chains.some(({ name }) => isKubeProxyChain(table, name) || name === FIREWALL)) {
    return NOTHING_REMOVED;
  }
  const rulesOf = (chain: string) => reader.rules(family, table, chain);
  const filter =
    table === "filter" ? await chooseLeftoverOptions(where, chains, rulesOf, options) : undefined;
  const leftovers = await findLeftovers(table, chains, rulesOf, filter);
  const { owner } = options;
  await deleteAll(tools, family, table, owner, leftovers);
  return mergeRemovals([
    describeRemoval(where, owner, leftovers),
    filter?.keptNotes ?? NOTHING_REMOVED,
  ]);
}

/**
 * Deletes the chains in one table of iptables-legacy that is in use.
 * @throws SluiceError TOOL_FAILED
 */
export async function removeLegacyChains(
  tables: LegacyTables,
  table: IptablesTable,
  options: RemovalConditions,
): Promise<Removal> {
  const where = describeLegacyTable(tables, table);
  const { chains, rules } = parseSaved(await tables.save(table));
  const rulesOf = (chain: string) => Promise.resolve(rules.get(chain) ?? []);
  const filter =
    table === "filter" ? await chooseLeftoverOptions(where, chains, rulesOf, options) : undefined;
  const leftovers = await findLeftovers(table, chains, rulesOf, filter);
  const keptNotes = filter?.keptNotes ?? NOTHING_REMOVED;
  if (leftovers.chains.length === 0 && leftovers.jumps.length === 0 && leftovers.kept.length === 0)
    return keptNotes;
  await tables.restore(table, printRemoval(table, leftovers));
  return mergeRemovals([describeRemoval(where, options.owner, leftovers), keptNotes]);
}

async function deleteAll(
  { socket, clock }: NftTools,
  family: NftFamily,
  table: IptablesTable,
  owner: RuleOwner,
  { jumps, chains }: Leftovers<bigint>,
): Promise<void> {
  if (jumps.length + chains.length === 0) return;
  const batch = new Batch(NFT_FAMILIES[family]);
  batch.begin();
  const what = `delete ${owner}'s chains in table ${family} ${table}`;
  for (const { chain, id } of jumps) {
    writeDelete(batch, nft.NFT_MSG_DELRULE, [
      [nft.NFTA_RULE_TABLE, table],
      [nft.NFTA_RULE_CHAIN, chain],
      [nft.NFTA_RULE_HANDLE, id],
    ]);
  }
  const commit = () => {
    if (sendBatch(batch, socket, what)) return;
    const message = `${what}: another program deleted some of them at the same time`;
    throw new SluiceError("NETLINK_REFUSED", message);
  };
  const each = async (type: number, attributes: (chain: string) => readonly Attribute[]) => {
    for (const chain of chains) {
      if (batch.count >= CHAINS_AT_ONCE) {
        commit();
        batch.begin();
        await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
      }
      writeDelete(batch, type, attributes(chain));
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

function writeDelete(batch: Batch, type: number, attributes: readonly Attribute[]): void {
  const message = batch.open(type, 0);
  writeAttributes(batch.writer, attributes);
  batch.close(message);
}

/** Returns false if the kernel reports that an object no longer exists. */
function sendBatch(batch: Batch, socket: NetlinkSocket, what: string): boolean {
  const refusal = batch.send(socket).refusals[0];
  if (refusal === undefined) return true;
  if (refusal.errno === ENOENT) return false;
  throw refusalError(what, refusal);
}
