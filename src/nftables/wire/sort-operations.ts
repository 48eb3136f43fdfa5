/** Sorts the operations of a diff into the order in which one transaction sends them. */

import { OP_ADD, OP_HEADER, OP_KIND, OP_OWNER, OP_TABLE } from "../../../asm/layout/operation.ts";
import { readU32LE } from "../../base/bytes.ts";
import { type ActionCode, decodeAction, isAction } from "../../model/actions.ts";
import type { OperationList } from "../../model/operation-list.ts";
import type { OwnerId } from "../../model/owner.ts";
import {
  keySize,
  TABLE_IDS,
  type TableId,
  tableFamily,
  tableKind,
  valueSize,
} from "../../model/tables.ts";
import type { ElementWriter } from "./element-writer.ts";
import { affinityMap } from "./object-names.ts";
import { SET_IDS } from "./sets.ts";

const IS_ACTION = TABLE_IDS.map((id) => tableKind(id).value === "action");

/**
 * The order of additions. Deletions come first, in the opposite order of tables. Slots are
 * therefore added before frontends and deleted after them. A changed value is a deletion and an
 * addition of one key. Packets see a transaction take effect at once; the order matters to the
 * kernel's checks and to readers.
 */
export const ADD_ORDER: readonly TableId[] = [
  ...SET_IDS.filter((id) => !IS_ACTION[id]),
  ...SET_IDS.filter((id) => IS_ACTION[id]),
];
const BUCKETS = 2 * ADD_ORDER.length;
const bucketOfAdd: number[] = [];
const bucketOfDelete: number[] = [];
ADD_ORDER.forEach((id, index) => {
  bucketOfAdd[id] = ADD_ORDER.length + index;
  bucketOfDelete[id] = ADD_ORDER.length - 1 - index;
});

/** Sorts the offsets of a region's operations by bucket. Within a bucket the order stays. */
export class OperationSorter {
  #offsets = new Uint32Array(1024);
  #sorted = new Uint32Array(1024);

  /** Valid until the next call. */
  sort({ region, count }: OperationList): Uint32Array {
    if (count > this.#offsets.length) {
      const capacity = 2 ** Math.ceil(Math.log2(count));
      this.#offsets = new Uint32Array(capacity);
      this.#sorted = new Uint32Array(capacity);
    }
    const next = new Uint32Array(BUCKETS + 1);
    let offset = 0;
    for (let i = 0; i < count; i++) {
      this.#offsets[i] = offset;
      const bucket = bucketOf(region, offset) + 1;
      next[bucket] = (next[bucket] as number) + 1;
      const table = tableOfOperation(region, offset);
      offset += OP_HEADER + keySize(table) + valueSize(table);
    }
    for (let bucket = 1; bucket <= BUCKETS; bucket++) {
      next[bucket] = (next[bucket] as number) + (next[bucket - 1] as number);
    }
    for (let i = 0; i < count; i++) {
      const at = this.#offsets[i] as number;
      const bucket = bucketOf(region, at);
      const position = next[bucket] as number;
      this.#sorted[position] = at;
      next[bucket] = position + 1;
    }
    return this.#sorted.subarray(0, count);
  }
}

/** The table of the operation at `offset` of a region. */
export function tableOfOperation(region: Uint8Array, offset: number): TableId {
  return region[offset + OP_TABLE] as TableId;
}

function bucketOf(region: Uint8Array, offset: number): number {
  const table = region[offset + OP_TABLE] as number;
  return (
    region[offset + OP_KIND] === OP_ADD ? bucketOfAdd[table] : bucketOfDelete[table]
  ) as number;
}

/** Calls `each` with the action of every added or deleted element. Many of them are equal. */
export function eachAction(
  { region }: OperationList,
  offsets: Uint32Array,
  kind: "add" | "delete",
  each: (table: TableId, action: ActionCode) => void,
): void {
  for (let i = 0; i < offsets.length; i++) {
    const offset = offsets[i] as number;
    const table = tableOfOperation(region, offset);
    if ((region[offset + OP_KIND] === OP_ADD) === (kind === "add") && IS_ACTION[table]) {
      each(table, readU32LE(region, offset + OP_HEADER + keySize(table)) as ActionCode);
    }
  }
}

/**
 * Returns the names of the maps that no longer remember the clients of a frontend. The next
 * frontend that uses such a map finds room in it.
 */
export function mapsToEmpty(operations: OperationList, offsets: Uint32Array): Set<string> {
  const maps = new Set<string>();
  eachAction(operations, offsets, "delete", (table, action) => {
    const map = mapOf(table, action);
    if (map !== undefined) maps.add(map);
  });
  if (maps.size === 0) return maps;
  eachAction(operations, offsets, "add", (table, action) => {
    const map = mapOf(table, action);
    if (map !== undefined) maps.delete(map);
  });
  return maps;
}

function mapOf(table: TableId, code: ActionCode): string | undefined {
  if (!isAction(code)) return undefined;
  const action = decodeAction(code);
  return action.verb === "learn" ? affinityMap(tableFamily(table), action.map) : undefined;
}

/** Writes the operations as elements. The comment of a frontend is the name of its owner. */
export function writeOperations(
  { region }: OperationList,
  offsets: Uint32Array,
  elements: ElementWriter,
  ownerName: (owner: OwnerId) => string,
): void {
  elements.begin(region);
  let commented: OwnerId | undefined;
  for (let i = 0; i < offsets.length; i++) {
    const offset = offsets[i] as number;
    const table = tableOfOperation(region, offset);
    const owner = readU32LE(region, offset + OP_OWNER) as OwnerId;
    const add = region[offset + OP_KIND] === OP_ADD;
    if (add && IS_ACTION[table] && owner !== commented) {
      commented = owner;
      elements.comment = ownerName(owner);
    }
    elements.write(add ? "add" : "delete", table, owner, offset + OP_HEADER);
  }
  elements.end();
}
