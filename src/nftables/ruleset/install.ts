/**
 * Creates the table, replaces it, or rewrites its chains; and recognizes the tables that Sluice
 * made.
 */

import type { SkeletonOptions } from "../../backend/skeleton-options.ts";
import { type TableId, tableLabel } from "../../model/tables.ts";
import { NLM_F_CREATE } from "../../netlink/constants.ts";
import { writeChain, writeFlush, writeRules } from "../wire/chains.ts";
import { type Attribute, writeAttributes } from "../wire/expressions.ts";
import { Batch } from "../wire/message-batch.ts";
import * as nft from "../wire/nf-tables.ts";
import { allSets, writeEqualBytes, writeSet } from "../wire/sets.ts";
import { commentUserdata } from "../wire/userdata.ts";
import { type KnownActions, writeFlushActions, writeMaps } from "./known-actions.ts";
import { actionChains, actionMap, sampleActions } from "./pick-chains.ts";
import { skeleton } from "./skeleton.ts";

/** Prefix of the comment on a table that any version of Sluice created. */
const OURS = "sluice: layout ";
/** Increase when the meaning of elements changes and no set looks different. */
const LAYOUT = 2;

/** Reports whether this or another version of Sluice created a table with this comment. */
export function isSluiceTable(tableComment: string): boolean {
  return tableComment.startsWith(OURS);
}

/** The table's comment, with a hash of the set layout. It cannot change while the table exists. */
export function tableComment(options: SkeletonOptions): string {
  const batch = new Batch();
  batch.begin();
  const samples = ([4, 6] as const).flatMap((family) =>
    sampleActions().flatMap((code) => actionMap(code, family) ?? []),
  );
  const sets = [...allSets(options.counters), ...samples];
  for (const [index, set] of sets.entries()) writeSet(batch, set, index + 1);
  return `${OURS}${LAYOUT}, sets ${hashOf(batch)}`;
}

/**
 * The comment on the first rule of the first base chain, with a hash of all rules, including those
 * made on demand.
 */
export function rulesComment(options: SkeletonOptions): string {
  const known = rulesComments.get(options);
  if (known !== undefined) return known;
  const text = hashedRules(options);
  rulesComments.set(options, text);
  return text;
}

/** Cached, because the hash takes 1 to 2 ms and every look at the chains needs it. */
const rulesComments = new WeakMap<SkeletonOptions, string>();

function hashedRules(options: SkeletonOptions): string {
  const batch = new Batch();
  batch.begin();
  const samples = sampleActions().flatMap((code) => [
    ...actionChains(code, 4, options.masqueradeBit),
    ...actionChains(code, 6, options.masqueradeBit),
  ]);
  for (const chain of [...skeleton(options), ...samples]) {
    writeChain(batch, chain);
    writeRules(batch, chain);
  }
  return `sluice: rules ${hashOf(batch)}`;
}

/** FNV-1a of the messages in the batch. */
function hashOf({ writer }: Batch): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < writer.length; i++) {
    hash = Math.imul(hash ^ (writer.bytes[i] as number), 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/** The skeleton's chains, with the comment on the first rule that identifies them. */
function commentedSkeleton(options: SkeletonOptions) {
  const text = rulesComment(options);
  return skeleton(options).map((chain) =>
    chain.name === COMMENTED_CHAIN
      ? {
          ...chain,
          rules: chain.rules.map((one, i) => (i === 0 ? { ...one, comment: text } : one)),
        }
      : chain,
  );
}

/** The first rule of this chain carries the comment with the hash of the rules. */
export const COMMENTED_CHAIN = "nat-prerouting";

export function writeTable(batch: Batch, text: string, table = batch.table, flags = 0): void {
  const message = batch.open(nft.NFT_MSG_NEWTABLE, NLM_F_CREATE);
  const attributes: Attribute[] = [
    [nft.NFTA_TABLE_NAME, table],
    [nft.NFTA_TABLE_USERDATA, commentUserdata(text)],
  ];
  if (flags !== 0) attributes.push([nft.NFTA_TABLE_FLAGS, flags]);
  writeAttributes(batch.writer, attributes);
  batch.close(message);
}

export function writeDeleteTable(batch: Batch, table = batch.table): void {
  const message = batch.open(nft.NFT_MSG_DELTABLE, 0);
  writeAttributes(batch.writer, [[nft.NFTA_TABLE_NAME, table]]);
  batch.close(message);
}

/**
 * Makes the base chains of a dormant table see packets again. The transaction must contain nothing
 * else.
 */
export function writeActivateTable(batch: Batch): void {
  const message = batch.open(nft.NFT_MSG_NEWTABLE, 0);
  writeAttributes(batch.writer, [
    [nft.NFTA_TABLE_NAME, batch.table],
    [nft.NFTA_TABLE_FLAGS, 0],
  ]);
  batch.close(message);
}

/**
 * Writes all constant objects into a table that does not exist yet. A dormant table sees no packets
 * before `writeActivateTable`.
 */
export function writeSkeleton(
  batch: Batch,
  options: SkeletonOptions,
  actions: KnownActions,
  dormant = false,
): void {
  const flags = dormant ? nft.NFT_TABLE_F_DORMANT : 0;
  writeTable(batch, tableComment(options), batch.table, flags);
  for (const [index, set] of allSets(options.counters).entries()) writeSet(batch, set, index + 1);
  writeEqualBytes(batch);
  writeMaps(batch, actions.maps());
  const chains = [...commentedSkeleton(options), ...actions.chains()];
  for (const chain of chains) writeChain(batch, chain);
  for (const chain of chains) writeRules(batch, chain);
  actions.writeAll(batch);
}

/**
 * Rewrites all rules, in existing or new chains, and the actions that lead to them. The elements of
 * all other maps stay. Packets never see the chains empty, because a transaction takes effect at
 * once.
 */
export function writeAllRules(batch: Batch, options: SkeletonOptions, actions: KnownActions): void {
  const chains = [...commentedSkeleton(options), ...actions.chains()];
  writeMaps(batch, actions.maps());
  for (const chain of chains) writeChain(batch, chain);
  for (const chain of chains) writeFlush(batch, chain.name);
  writeFlushActions(batch);
  for (const chain of chains) writeRules(batch, chain);
  actions.writeAll(batch);
}

/** NFT_MSG_DELSETELEM of the catchall element in each of these tables. */
export function writeDeleteCatchalls(batch: Batch, ids: readonly TableId[]): void {
  for (const id of ids) {
    const message = batch.open(nft.NFT_MSG_DELSETELEM, 0);
    writeAttributes(batch.writer, [
      [nft.NFTA_SET_ELEM_LIST_TABLE, batch.table],
      [nft.NFTA_SET_ELEM_LIST_SET, tableLabel(id)],
      [
        nft.NFTA_SET_ELEM_LIST_ELEMENTS,
        [[nft.NFTA_LIST_ELEM, [[nft.NFTA_SET_ELEM_FLAGS, nft.NFT_SET_ELEM_CATCHALL]]]],
      ],
    ]);
    batch.close(message);
  }
}
