/** Which slots there must be, by what the frontends say: how a large table of slots is read by key. */
import { decodeAction } from "../../model/actions.ts";
import {
  keySize,
  type TableId,
  tableFamily,
  tableId,
  tableKind,
  valueSize,
} from "../../model/tables.ts";
import { isAction } from "../ruleset/known-actions.ts";
import { Bytes } from "../wire/byte-buffer.ts";
import type { TableElements } from "./read-table.ts";

export class ExpectedSlots {
  readonly #frontends: (TableElements & { readonly id: TableId })[] = [];

  /** Takes the elements of a table of actions. */
  add(id: TableId, elements: TableElements): void {
    this.#frontends.push({ id, ...elements });
  }

  /** How many slots of this table the frontends choose from. */
  count(slots: TableId): number {
    let sum = 0;
    this.#each(slots, (_bytes, _key, _keyBytes, count) => {
      sum += count;
    });
    return sum;
  }

  /** The keys of these slots, one behind the other. */
  keys(slots: TableId): Uint8Array {
    const keys = new Bytes();
    this.#each(slots, (bytes, key, keyBytes, count) => {
      for (let slot = 0; slot < count; slot++) {
        keys.append(bytes, key, keyBytes);
        keys.appendU32(slot);
      }
    });
    return keys.whole();
  }

  #each(
    slots: TableId,
    each: (bytes: Uint8Array, key: number, keyBytes: number, count: number) => void,
  ): void {
    for (const { id, keysAndValues, count } of this.#frontends) {
      if (tableFamily(id) !== tableFamily(slots)) continue;
      const view = new DataView(keysAndValues.buffer, keysAndValues.byteOffset);
      const keyBytes = keySize(id);
      const stride = keyBytes + valueSize(id);
      for (let i = 0; i < count; i++) {
        const code = view.getUint32(i * stride + keyBytes, true);
        if (!isAction(code)) continue;
        const action = decodeAction(code);
        if (action.verb !== "pick" && action.verb !== "sticky") continue;
        if (tableId(action.source, tableFamily(id)) !== slots) continue;
        each(keysAndValues, i * stride, keyBytes, action.count);
      }
    }
  }
}

/** Does the table hold slots? */
export function isSlots(id: TableId): boolean {
  return tableKind(id).value === "endpoint";
}
