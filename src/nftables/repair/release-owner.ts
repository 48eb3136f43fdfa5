/**
 * Leaves an owner out of a repair when the kernel refuses one of its elements, so that the repair
 * of all others succeeds.
 */

import { OP_HEADER } from "../../../asm/layout/operation.ts";
import type { Core } from "../../core/core.ts";
import { type OperationList, readOperations } from "../../model/operation-list.ts";
import type { OwnerId } from "../../model/owner.ts";
import { hasRanges, keySize, type TableId, valueSize } from "../../model/tables.ts";
import type { Netlink } from "../../netlink/socket.ts";
import { ByteBuffer, keyString, tableBuffer } from "../read/byte-buffer.ts";
import { readTableElements, readTableElementsOf, type TableElements } from "../read/read-table.ts";

/** The owners of these operations, without duplicates. */
export function ownersOf(operations: OperationList): OwnerId[] {
  const owners = new Set<OwnerId>();
  for (const { owner } of operations) owners.add(owner);
  return [...owners];
}

/** The operations of the wanted owners, in the same order. */
export function operationsOf(
  operations: OperationList,
  wanted: (owner: OwnerId) => boolean,
): OperationList {
  const bytes = new ByteBuffer(operations.bytes);
  let count = 0;
  let at = 0;
  for (const { owner, table } of operations) {
    const length = OP_HEADER + keySize(table) + valueSize(table);
    if (wanted(owner)) {
      bytes.append(operations.region, at, length);
      count++;
    }
    at += length;
  }
  return readOperations(bytes.view(), count, 0);
}

/**
 * Replaces this owner's committed elements by those that the kernel has. They belong to
 * OWNER_ADOPTED until the owner is programmed again.
 */
export function releaseOwner(socket: Netlink, core: Core, owner: OwnerId): void {
  const keys = new Map<TableId, ByteBuffer>();
  for (const { table, key } of core.diff(0, [owner])) {
    tableBuffer(keys, table).append(key, 0, key.length);
  }
  const present = [...keys].map(
    ([id, list]) => [id, readPresent(socket, id, list.view())] as const,
  );
  core.commit();
  for (const [id, { keysAndValues, count }] of present) {
    if (count > 0) core.adopt(id, keysAndValues, count);
  }
}

function readPresent(socket: Netlink, id: TableId, keys: Uint8Array): TableElements {
  if (!hasRanges(id)) return readTableElementsOf(socket, id, keys);
  const size = keySize(id);
  const wanted = new Set<string>();
  for (let at = 0; at < keys.length; at += size)
    wanted.add(keyString(keys.subarray(at, at + size)));
  const { keysAndValues } = readTableElements(socket, id);
  const found = new ByteBuffer();
  // Ranges have no values.
  for (let at = 0; at < keysAndValues.length; at += size) {
    if (wanted.has(keyString(keysAndValues.subarray(at, at + size)))) {
      found.append(keysAndValues, at, size);
    }
  }
  return { keysAndValues: found.view(), count: found.length / size };
}
