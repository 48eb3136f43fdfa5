/**
 * Deletes clients from the session-affinity maps, which packets fill, when the remembered frontend
 * or endpoint no longer exists.
 */
import type { AffinityCleanup } from "../backend/parts.ts";
import type { Core } from "../core/core.ts";
import type { OperationList } from "../model/operation-list.ts";
import { TABLE_IDS, type TableId, tableId } from "../model/tables.ts";
import { ADDRESS_BYTES, type Family } from "../net/address.ts";
import { refusalError } from "../netlink/netlink-errors.ts";
import type { Netlink } from "../netlink/socket.ts";
import { ENOENT } from "../os/posix.ts";
import { readElements } from "./read/read-elements.ts";
import { type Attribute, writeAttributes } from "./wire/expressions.ts";
import type { Batch } from "./wire/message-batch.ts";
import * as nft from "./wire/nf-tables.ts";
import { affinityMap, TABLE } from "./wire/object-names.ts";
import { tableOfOperation } from "./wire/sort-operations.ts";

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

/** Keys in one message, to stay far below the 64 KiB limit of an attribute. */
const KEYS_PER_MESSAGE = 400;

/** A map of clients. `learn`: the table of the frontends that add clients to it. */
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
/** By table: the map that may hold stale clients after a change to the table. */
const MAP_OF: readonly (ClientMap | undefined)[] = TABLE_IDS.map((id) =>
  MAPS.find(({ family, nodePort }) =>
    Object.values(nodePort ? NODE_PORT_TABLES : FRONTEND_TABLES).some(
      (name) => tableId(name, family) === id,
    ),
  ),
);

/**
 * Marks the maps that may remember clients for missing frontends or endpoints, and deletes these
 * clients. Reading a map takes time for every client in it, so it reads only the marked maps.
 */
export class AffinityPurger implements AffinityCleanup {
  readonly #socket: Netlink;
  readonly #batch: Batch;
  readonly #maps = new Set<ClientMap>();

  constructor(socket: Netlink, batch: Batch) {
    this.#socket = socket;
    this.#batch = batch;
  }

  /** Marks all maps, because anything may have changed. */
  markAll(): void {
    for (const map of MAPS) this.#maps.add(map);
  }

  /** Marks the map with this name, because another program added clients to it. */
  markMap(name: string): void {
    for (const map of MAPS) {
      if (affinityMap(map.nodePort, map.family) === name) this.#maps.add(map);
    }
  }

  /**
   * Marks the maps that these operations concern, before they are applied. Skips maps that cannot
   * contain clients.
   */
  markChanged(
    { region }: OperationList,
    offsets: Uint32Array,
    core: Pick<Core, "elementCount">,
  ): void {
    const inUse = MAPS.filter((map) => !this.#maps.has(map) && core.elementCount(map.learn) > 0);
    if (inUse.length === 0) return;
    for (let i = 0; i < offsets.length; i++) {
      const map = MAP_OF[tableOfOperation(region, offsets[i] as number)];
      if (map !== undefined && inUse.includes(map)) this.#maps.add(map);
    }
  }

  get hasStale(): boolean {
    return this.#maps.size > 0;
  }

  /**
   * Call it after the slots of the endpoints have been deleted.
   *
   * A packet may have looked up its endpoint before the client's entry was deleted, and add the
   * entry again a moment later. Therefore a map stays marked until a search finds nothing in it.
   */
  purge(core: Core): number {
    let purged = 0;
    for (const map of this.#maps) {
      const { nodePort, family } = map;
      const keys = staleKeys(this.#socket, core, nodePort, family);
      deleteEntries(this.#socket, this.#batch, affinityMap(nodePort, family), keys);
      if (keys.length === 0) this.#maps.delete(map);
      purged += keys.length;
    }
    return purged;
  }
}

/**
 * Deletes entries from a map. If an entry has expired since it was read, the kernel refuses the
 * whole transaction without naming the entry. The function then tries each half, down to the
 * expired entry alone.
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
    throw refusalError(`delete remembered clients from map ${map}`, refusal);
  }
  if (keys.length === 1) return;
  const middle = keys.length >> 1;
  deleteEntries(socket, batch, map, keys.slice(0, middle));
  deleteEntries(socket, batch, map, keys.slice(middle));
}

/**
 * Returns the keys of the entries to delete. A key is the client's address and the key of a
 * frontend; the value is an endpoint. An entry stays if the frontend has affinity and still has the
 * endpoint.
 *
 * With externalTrafficPolicy Local it must be a local endpoint. An entry does not show whether its
 * client is a local pod. If an entry of a local pod is deleted, the pod simply chooses again.
 */
function staleKeys(socket: Netlink, core: Core, nodePort: boolean, family: Family): Uint8Array[] {
  const clientBytes = ADDRESS_BYTES[family];
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
    const isCurrent =
      core.ownerOf(learn, frontend) !== undefined &&
      core.hasEndpoint(local ? localEndpoints : endpoints, frontend, endpoint);
    if (isCurrent) return;
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
