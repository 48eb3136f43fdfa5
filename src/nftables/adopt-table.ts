/** Adopts the elements of a table that an earlier run left in the kernel. */

import type { Core } from "../core/core.ts";
import { type ActionCode, decodeAction, isAction } from "../model/actions.ts";
import {
  keySize,
  type TableId,
  tableFamily,
  tableId,
  tableKind,
  tableLabel,
  valueSize,
} from "../model/tables.ts";
import type { Family } from "../net/address.ts";
import type { Netlink } from "../netlink/socket.ts";
import { ByteBuffer } from "./read/byte-buffer.ts";
import { hasCatchall, MANY_ELEMENTS } from "./read/read-elements.ts";
import { readSets } from "./read/read-objects.ts";
import {
  isSlots,
  readTableElements,
  readTableElementsAt,
  type TableElements,
} from "./read/read-table.ts";
import { SET_IDS } from "./wire/sets.ts";

/**
 * Hands all elements of the table to the core. Returns the number of elements, and the tables that
 * contain a catchall element, which Sluice never writes. Calls `action` for every action that an
 * element uses.
 *
 * A large table of slots is read by key if all of its elements can be found that way. A kernel
 * before 6.17 does not report the number of elements in a set. With such a kernel, Sluice assumes
 * that the set has no unused slots.
 */
export function adoptElements(
  socket: Netlink,
  core: Core,
  action: (family: Family, code: ActionCode) => void,
): { readonly elements: number; readonly catchalls: readonly TableId[] } {
  const sets = readSets(socket);
  const expected = new ExpectedSlots();
  let total = 0;
  const catchalls: TableId[] = [];
  const adopt = (id: TableId, { keysAndValues, count, catchall }: TableElements) => {
    if (catchall) catchalls.push(id);
    if (count > 0) core.adopt(id, keysAndValues, count);
    total += count;
  };
  for (const id of SET_IDS.filter((one) => tableKind(one).value === "action")) {
    const elements = readTableElements(socket, id);
    eachReadAction(id, elements, (code) => action(tableFamily(id), code));
    expected.add(id, elements);
    adopt(id, elements);
  }
  for (const id of SET_IDS.filter((one) => tableKind(one).value !== "action")) {
    const slots = isSlots(id) ? expected.count(id) : 0;
    const present = sets.get(tableLabel(id))?.count;
    const byKey =
      slots >= MANY_ELEMENTS && (present ?? slots) === slots
        ? readTableElementsAt(socket, id, expected.keys(id))
        : undefined;
    adopt(
      id,
      byKey === undefined
        ? readTableElements(socket, id)
        : { ...byKey, catchall: hasCatchall(socket, tableLabel(id)) },
    );
  }
  return { elements: total, catchalls };
}

/**
 * Calls `each` with every action in a table of actions, and with the offset of its element in
 * `keysAndValues`.
 */
function eachReadAction(
  id: TableId,
  { keysAndValues, count }: TableElements,
  each: (code: ActionCode, offset: number) => void,
): void {
  const view = new DataView(keysAndValues.buffer, keysAndValues.byteOffset);
  const stride = keySize(id) + valueSize(id);
  for (let i = 0; i < count; i++) {
    const code = view.getUint32(i * stride + keySize(id), true);
    if (isAction(code)) each(code, i * stride);
  }
}

/** The slots that the frontends choose from. Their keys serve to read a large table of slots. */
class ExpectedSlots {
  readonly #frontends: (TableElements & { readonly id: TableId })[] = [];

  /** Adds the elements of a table of actions. */
  add(id: TableId, elements: TableElements): void {
    this.#frontends.push({ id, ...elements });
  }

  /** The number of slots in this table that the frontends choose from. */
  count(slots: TableId): number {
    let sum = 0;
    this.#each(slots, (_bytes, _key, _keyBytes, count) => {
      sum += count;
    });
    return sum;
  }

  /** The keys of these slots, concatenated. */
  keys(slots: TableId): Uint8Array {
    const keys = new ByteBuffer();
    this.#each(slots, (bytes, key, keyBytes, count) => {
      for (let slot = 0; slot < count; slot++) {
        keys.append(bytes, key, keyBytes);
        keys.appendU32(slot);
      }
    });
    return keys.view();
  }

  /**
   * Calls `each` for every frontend that chooses from `slots`, with the position of its key and its
   * number of endpoints.
   */
  #each(
    slots: TableId,
    each: (bytes: Uint8Array, key: number, keyBytes: number, count: number) => void,
  ): void {
    for (const { id, ...elements } of this.#frontends) {
      if (tableFamily(id) !== tableFamily(slots)) continue;
      eachReadAction(id, elements, (code, offset) => {
        const action = decodeAction(code);
        if (action.verb !== "pick" && action.verb !== "recall") return;
        if (tableId(action.slotTable, tableFamily(id)) !== slots) return;
        each(elements.keysAndValues, offset, keySize(id), action.count);
      });
    }
  }
}
