/**
 * Assigns each frontend with session affinity a map of its own in the kernel, which remembers its
 * clients. The map has room for 65,535 clients, so a flood of clients of one Service leaves no
 * other Service without room.
 */
import { readU32LE } from "../base/bytes.ts";
import { AFFINITY_MAPS, decodeAction, isAction } from "../model/actions.ts";
import type { FrontendKey } from "../model/frontend-key.ts";
import { frontendKeyBytes } from "../model/table-keys.ts";
import { type TableId, tableId } from "../model/tables.ts";
import type { Family } from "../net/address.ts";
import type { Frontend } from "../state/frontends.ts";

/** Tables of frontends with session affinity, which name the map of each. */
export const LEARN = { 4: tableId("learn", 4), 6: tableId("learn", 6) };
export const NODE_PORT_LEARN = {
  4: tableId("nodeports-learn", 4),
  6: tableId("nodeports-learn", 6),
};

/** The committed elements, as the core has them. */
export interface CommittedElements {
  committedValue(table: TableId, key: Uint8Array): Uint8Array | undefined;
  eachElement(table: TableId, each: (key: Uint8Array, value: Uint8Array) => void): void;
}

/**
 * The assignments of one sync. The committed elements are the only state: a frontend keeps its map,
 * also after a restart. Another one begins to search for a free map at a hash of its key. If all
 * maps are in use, it shares the map where the search began.
 */
export class AffinityMaps {
  readonly #committed: CommittedElements;
  /** The maps assigned in this sync. */
  readonly #assigned = new Map<FrontendKey, number>();
  #inUse: { readonly [family in Family]: Set<number> } | undefined;

  constructor(committed: CommittedElements) {
    this.#committed = committed;
  }

  /** Returns the number of the map of a frontend with session affinity. */
  mapOf(frontend: Frontend): number {
    const assigned = this.#assigned.get(frontend.key) ?? this.#present(frontend);
    if (assigned !== undefined) return assigned;
    const map = this.#firstFree(frontend);
    this.#assigned.set(frontend.key, map);
    return map;
  }

  /** Returns the map that the kernel uses for the frontend. */
  #present({ family, address, protocol, port }: Frontend): number | undefined {
    const table = (address === undefined ? NODE_PORT_LEARN : LEARN)[family];
    const key = frontendKeyBytes(address?.bytes, protocol, port);
    return mapIn(this.#committed.committedValue(table, key));
  }

  #firstFree({ family, key }: Frontend): number {
    this.#inUse ??= this.#readInUse();
    const inUse = this.#inUse[family];
    const start = hashOf(key);
    for (let step = 0; step < AFFINITY_MAPS; step++) {
      const map = (start + step) % AFFINITY_MAPS;
      if (inUse.has(map)) continue;
      inUse.add(map);
      return map;
    }
    return start;
  }

  #readInUse(): { readonly [family in Family]: Set<number> } {
    const inUse = { 4: new Set<number>(), 6: new Set<number>() };
    for (const family of [4, 6] as const) {
      for (const table of [LEARN[family], NODE_PORT_LEARN[family]]) {
        this.#committed.eachElement(table, (_key, value) => {
          const map = mapIn(value);
          if (map !== undefined) inUse[family].add(map);
        });
      }
    }
    return inUse;
  }
}

function mapIn(value: Uint8Array | undefined): number | undefined {
  if (value === undefined) return undefined;
  const code = readU32LE(value, 0);
  // A program may have written anything into the table before it was adopted.
  const action = isAction(code) ? decodeAction(code) : undefined;
  return action?.verb === "learn" ? action.map : undefined;
}

/** FNV-1a of the key's text. */
function hashOf(key: FrontendKey): number {
  let hash = 0x811c9dc5;
  for (const letter of String(key)) {
    hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
  }
  return (hash >>> 0) % AFFINITY_MAPS;
}
