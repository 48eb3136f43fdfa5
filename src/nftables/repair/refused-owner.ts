/** When the kernel refuses an element in a repair: its owner is left out, so that everybody else gets what is theirs. */
import { OP_HEADER } from "../../../asm/layout/layout.ts";
import type { Core } from "../../core/core.ts";
import { type OperationList, readOperations } from "../../model/operation-list.ts";
import { hasRanges, keySize, type TableId, valueSize } from "../../model/tables.ts";
import type { Netlink } from "../../netlink/socket.ts";
import { readTableElements, readTableElementsOf, type TableElements } from "../read/read-table.ts";
import { Bytes, bytesOf, textOf } from "../wire/byte-buffer.ts";

/** Each owner once. */
export function ownersOf(operations: OperationList): number[] {
  const owners = new Set<number>();
  for (const { owner } of operations) owners.add(owner);
  return [...owners];
}

/** The operations of some owners, in the same order. */
export function onlyOf(
  operations: OperationList,
  wanted: (owner: number) => boolean,
): OperationList {
  const bytes = new Bytes(operations.bytes);
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
  return readOperations(bytes.whole(), count, 0);
}

/** What is committed of an owner is from now on what the kernel has of it, and nobody's until the owner claims it. */
export function disown(socket: Netlink, core: Core, owner: number): void {
  const keys = new Map<TableId, Bytes>();
  for (const { table, key } of core.diff(0, [owner])) {
    bytesOf(keys, table).append(key, 0, key.length);
  }
  const held = [...keys].map(([id, list]) => [id, readHeld(socket, id, list.whole())] as const);
  core.commit();
  for (const [id, { keysAndValues, count }] of held) {
    if (count > 0) core.adopt(id, keysAndValues, count);
  }
}

function readHeld(socket: Netlink, id: TableId, keys: Uint8Array): TableElements {
  if (!hasRanges(id)) return readTableElementsOf(socket, id, keys);
  const size = keySize(id);
  const wanted = new Set<string>();
  for (let at = 0; at < keys.length; at += size) wanted.add(textOf(keys.subarray(at, at + size)));
  const { keysAndValues } = readTableElements(socket, id);
  const found = new Bytes();
  // Ranges have no values.
  for (let at = 0; at < keysAndValues.length; at += size) {
    if (wanted.has(textOf(keysAndValues.subarray(at, at + size)))) {
      found.append(keysAndValues, at, size);
    }
  }
  return { keysAndValues: found.whole(), count: found.length / size };
}
