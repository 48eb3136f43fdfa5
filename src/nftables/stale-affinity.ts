/** The maps that packets fill: which endpoint a client is remembered for. */
import type { Core } from "../core/core.ts";
import type { OperationList } from "../model/operation-list.ts";
import { TABLE_IDS, type TableId, tableId } from "../model/tables.ts";
import type { Family } from "../net/address.ts";
import { ENOENT } from "../netlink/constants.ts";
import { printRefusal, systemError } from "../netlink/netlink-errors.ts";
import type { Netlink } from "../netlink/socket.ts";
import { readElements } from "./read/read-elements.ts";
import { type Attribute, writeAttributes } from "./wire/expressions.ts";
import type { Batch } from "./wire/message-batch.ts";
import * as nft from "./wire/nf-tables.ts";
import { affinityMap, TABLE } from "./wire/object-names.ts";

const FRONTEND_TABLES = {
  learn: "learn",
  outside: "outside",
  endpoints: "endpoints",
  local: "local-endpoints",
} as const;
const NODE_PORT_TABLES = {
  learn: "nodeports-learn",
  outside: "nodeports-outside",
  endpoints: "nodeport-endpoints",
  local: "nodeport-local-endpoints",
} as const;

/** Keys in one message, far below the 64 KiB of an attribute. */
const KEYS_PER_MESSAGE = 400;

/** One of the maps, and which of our tables its entries hang on. */
interface ClientMap {
  readonly family: Family;
  readonly nodePort: boolean;
  readonly learn: TableId;
}

const MAPS: readonly ClientMap[] = ([4, 6] as const).flatMap((family) =>
  [false, true].map((nodePort) => ({
    family,
    nodePort,
    learn: tableId((nodePort ? NODE_PORT_TABLES : FRONTEND_TABLES).learn, family),
  })),
);
/** By table: the map whose entries a change of the table may outdate. */
const MAP_OF: readonly (ClientMap | undefined)[] = TABLE_IDS.map((id) =>
  MAPS.find(({ family, nodePort }) =>
    Object.values(nodePort ? NODE_PORT_TABLES : FRONTEND_TABLES).some(
      (name) => tableId(name, family) === id,
    ),
  ),
);

/**
 * Which maps may hold clients that are to be forgotten; dumping one takes time by the number of its
 * clients.
 */
export class StaleAffinity {
  readonly #maps = new Set<ClientMap>();

  /** Anything may have changed. */
  all(): void {
    for (const map of MAPS) this.#maps.add(map);
  }

  /** Somebody added to the map with this name. */
  touched(name: string): void {
    for (const map of MAPS) {
      if (affinityMap(map.nodePort, map.family) === name) this.#maps.add(map);
    }
  }

  /** May any hold some? */
  get any(): boolean {
    return this.#maps.size > 0;
  }

  /** These operations are about to be applied. Without affinity nobody is remembered. */
  add({ region }: OperationList, offsets: Uint32Array, core: Pick<Core, "elementCount">): void {
    const inUse = MAPS.filter((map) => !this.#maps.has(map) && core.elementCount(map.learn) > 0);
    if (inUse.length === 0) return;
    for (let i = 0; i < offsets.length; i++) {
      const map = MAP_OF[region[(offsets[i] as number) + 1] as number];
      if (map !== undefined && inUse.includes(map)) this.#maps.add(map);
    }
  }

  /**
   * Deletes the entries whose endpoint no longer serves their frontend. Slots go first and entries
   * then, so nothing new can come to point there in between. Returns how many went.
   */
  forget(socket: Netlink, batch: Batch, core: Core): number {
    let forgotten = 0;
    for (const map of this.#maps) {
      forgotten += forgetIn(socket, batch, core, map.nodePort, map.family);
      this.#maps.delete(map);
    }
    return forgotten;
  }
}

function forgetIn(
  socket: Netlink,
  batch: Batch,
  core: Core,
  nodePort: boolean,
  family: Family,
): number {
  const keys = staleKeys(socket, core, nodePort, family);
  deleteEntries(socket, batch, affinityMap(nodePort, family), keys);
  return keys.length;
}

/**
 * An entry that has expired since it was read refuses the whole transaction, and nobody knows which
 * one it was: halves are tried until it stands alone, and then it is gone anyway.
 */
function deleteEntries(
  socket: Netlink,
  batch: Batch,
  map: string,
  keys: readonly Uint8Array[],
): void {
  if (keys.length === 0) return;
  batch.begin();
  for (let i = 0; i < keys.length; i += KEYS_PER_MESSAGE) {
    writeDeletes(batch, map, keys.slice(i, i + KEYS_PER_MESSAGE));
  }
  const refusal = batch.send(socket).refusals[0];
  if (refusal === undefined) return;
  if (refusal.errno !== ENOENT) {
    const what = `forget clients in ${map}`;
    throw systemError(what, refusal.errno, "NETLINK_REFUSED", printRefusal(refusal));
  }
  if (keys.length === 1) return;
  const middle = keys.length >> 1;
  deleteEntries(socket, batch, map, keys.slice(0, middle));
  deleteEntries(socket, batch, map, keys.slice(middle));
}

/**
 * Key: the client's address, then a frontend's key; value: the endpoint. Without affinity any more,
 * a frontend keeps nobody. With externalTrafficPolicy Local an entry must lead to this node:
 * whether its client is outside, and must not be led elsewhere, is not known here, and a pod is
 * only led anew.
 */
function staleKeys(socket: Netlink, core: Core, nodePort: boolean, family: Family): Uint8Array[] {
  const clientBytes = family === 4 ? 4 : 16;
  const tables = nodePort ? NODE_PORT_TABLES : FRONTEND_TABLES;
  const learn = tableId(tables.learn, family);
  const outside = tableId(tables.outside, family);
  const endpoints = tableId(tables.endpoints, family);
  const localEndpoints = tableId(tables.local, family);
  const stale: Uint8Array[] = [];
  const restart = () => {
    stale.length = 0;
  };
  readElements(socket, affinityMap(nodePort, family), restart, (element) => {
    const { bytes, key, keyLength, data, dataLength } = element;
    const frontend = bytes.subarray(key + clientBytes, key + keyLength);
    const endpoint = bytes.subarray(data, data + dataLength);
    const local = core.ownerOf(outside, frontend) !== undefined;
    const lives =
      core.ownerOf(learn, frontend) !== undefined &&
      core.hasEndpoint(local ? localEndpoints : endpoints, frontend, endpoint);
    if (lives) return;
    stale.push(bytes.slice(key, key + keyLength));
  });
  return stale;
}

function writeDeletes(batch: Batch, map: string, keys: readonly Uint8Array[]): void {
  const message = batch.open(nft.NFT_MSG_DELSETELEM, 0);
  const elements = keys.map(
    (key): Attribute => [
      nft.NFTA_LIST_ELEM,
      [[nft.NFTA_SET_ELEM_KEY, [[nft.NFTA_DATA_VALUE, key]]]],
    ],
  );
  writeAttributes(batch.writer, [
    [nft.NFTA_SET_ELEM_LIST_TABLE, TABLE],
    [nft.NFTA_SET_ELEM_LIST_SET, map],
    [nft.NFTA_SET_ELEM_LIST_ELEMENTS, elements],
  ]);
  batch.close(message);
}
