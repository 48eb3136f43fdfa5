/**
 * Builds the operations that repair drift of the committed elements, in the format of a diff
 * (asm/layout/operation.ts).
 */

import { COMPARED_SAME } from "../../../asm/layout/element.ts";
import {
  OP_ADD,
  OP_DELETE,
  OP_HEADER,
  OP_KIND,
  OP_OWNER,
  OP_TABLE,
} from "../../../asm/layout/operation.ts";
import type { Core } from "../../core/core.ts";
import { type OperationList, readOperations } from "../../model/operation-list.ts";
import { OWNER_ADOPTED, type OwnerId } from "../../model/owner.ts";
import { keySize, type TableId, valueSize } from "../../model/tables.ts";
import { ByteBuffer, keyString, tableBuffer } from "../read/byte-buffer.ts";
import type { TableElements } from "../read/read-table.ts";
import { isCounted } from "../wire/sets.ts";
import { ADD_ORDER } from "../wire/sort-operations.ts";
import type { TableState } from "./read-touched.ts";

/** The differences in one table. */
export interface Difference {
  /** Number of missing, changed and foreign elements. */
  readonly elements: number;
  /** The table was empty but should have more than one element. */
  readonly emptied: boolean;
}

/** Collects operations in lists of about `most` operations. */
export class RepairOperations {
  readonly lists: OperationList[] = [];
  readonly #core: Core;
  readonly #most: number;
  readonly #header = new DataView(new ArrayBuffer(OP_HEADER));
  #bytes = new ByteBuffer();
  #count = 0;

  constructor(core: Core, most: number) {
    this.#core = core;
    this.#most = most;
  }

  /** Adds all committed elements, for an empty table. */
  addAll(): void {
    for (const id of ADD_ORDER) {
      this.#core.eachElement(id, (key, value, owner) => this.#add(OP_ADD, id, owner, key, value));
    }
    this.endList();
  }

  /** Adds the operations for the differences in one table. Call `endList` after the last table. */
  addDifferences({ id, present, requestedKeys }: TableState): Difference {
    const core = this.#core;
    const size = keySize(id);
    const stride = size + valueSize(id);
    const { keysAndValues, count } = present;
    const owners = count > 0 ? core.compare(id, keysAndValues, count) : new Int32Array(0);
    let changed = 0;
    let foreign = 0;
    for (let i = 0; i < count; i++) {
      if (owners[i] === COMPARED_SAME) continue;
      changed++;
      const owner = owners[i] as OwnerId;
      const key = keysAndValues.subarray(i * stride, i * stride + size);
      this.#add(
        OP_DELETE,
        id,
        owner,
        key,
        keysAndValues.subarray(i * stride + size, (i + 1) * stride),
      );
      const value = core.committedValue(id, key);
      if (value !== undefined) this.#add(OP_ADD, id, owner, key, value);
      else foreign++;
    }
    const missing = this.#addMissing(id, present, requestedKeys, count - foreign);
    const emptied = missing > 1 && missing === core.elementCount(id);
    return { elements: changed + missing, emptied };
  }

  /** Completes the current list. */
  endList(): void {
    if (this.#count === 0) return;
    this.lists.push(readOperations(this.#bytes.view(), this.#count, 0));
    this.#bytes = new ByteBuffer();
    this.#count = 0;
  }

  /**
   * Adds the committed elements that were not found and returns their number. `known`: number of
   * committed elements that were found.
   */
  #addMissing(
    id: TableId,
    present: TableElements,
    requestedKeys: Uint8Array | undefined,
    known: number,
  ): number {
    const core = this.#core;
    if (requestedKeys === undefined && known === core.elementCount(id)) return 0;
    const found = keysOf(id, present);
    let missing = 0;
    const add = (key: Uint8Array, value: Uint8Array, owner: OwnerId) => {
      missing++;
      this.#add(OP_ADD, id, owner, key, value);
    };
    if (requestedKeys === undefined) {
      core.eachElement(id, (key, value, owner) => {
        if (found.size === 0 || !found.has(keyString(key))) add(key, value, owner);
      });
      return missing;
    }
    const size = keySize(id);
    for (let at = 0; at < requestedKeys.length; at += size) {
      const key = requestedKeys.subarray(at, at + size);
      if (found.has(keyString(key))) continue;
      const value = core.committedValue(id, key);
      if (value !== undefined) add(key, value, core.ownerOf(id, key) ?? OWNER_ADOPTED);
    }
    return missing;
  }

  #add(operation: number, id: TableId, owner: OwnerId, key: Uint8Array, value: Uint8Array): void {
    // The deletion and the addition of one key must stay in the same list.
    if (this.#count >= this.#most && operation !== OP_ADD) this.endList();
    if (this.#count > this.#most) this.endList();
    this.#header.setUint8(OP_KIND, operation);
    this.#header.setUint8(OP_TABLE, id);
    this.#header.setUint32(OP_OWNER, owner, true);
    this.#bytes.append(new Uint8Array(this.#header.buffer), 0, OP_HEADER);
    this.#bytes.append(key, 0, key.length);
    this.#bytes.append(value, 0, value.length);
    this.#count++;
  }
}

/** Tells the core that the counters of the added elements start at 0. */
export function resetCounters(core: Core, { region }: OperationList): void {
  const added = new Map<TableId, ByteBuffer>();
  for (let at = 0; at < region.length; ) {
    const id = region[at + OP_TABLE] as TableId;
    const size = keySize(id);
    if (region[at + OP_KIND] === OP_ADD && isCounted(id)) {
      tableBuffer(added, id).append(region, at + OP_HEADER, size);
    }
    at += OP_HEADER + size + valueSize(id);
  }
  for (const [id, keys] of added) core.resetCounters(id, keys.view(), keys.length / keySize(id));
}

function keysOf(id: TableId, { keysAndValues, count }: TableElements): Set<string> {
  const size = keySize(id);
  const stride = size + valueSize(id);
  const keys = new Set<string>();
  for (let i = 0; i < count; i++) {
    keys.add(keyString(keysAndValues.subarray(i * stride, i * stride + size)));
  }
  return keys;
}
