/**
 * Records what another program touched, from events, and what was in a refused transaction of ours.
 * It tells where to look; the actual state is read from the kernel.
 */

import type { ForeignChange } from "../../backend/drift.ts";
import { hasRanges, keySize, type TableId } from "../../model/tables.ts";
import { type ByteBuffer, tableBuffer } from "../read/byte-buffer.ts";

/**
 * A transaction that touches more keys of one table than this is recorded as touching the table.
 */
const NAMED_KEYS_MAX = 64;
/** Beyond this number of keys the whole table is read instead. */
export const TOUCHED_KEYS_MAX = 1 << 16;

export class TouchedObjects {
  /** Events were lost or not received, so anything may differ. */
  everything = false;
  /**
   * Our table or one of its maps was deleted with its contents. It may have been recreated since.
   */
  tableDeleted = false;
  /** Chains, rules, maps of actions, or the flags of the table. */
  chains = false;
  /** Concatenated keys of elements, by table. */
  readonly keys = new Map<TableId, ByteBuffer>();
  /** Tables to read completely. */
  readonly wholeTables = new Set<TableId>();
  /** Names of touched objects, to recognize a process that keeps changing the same ones. */
  readonly objects = new Set<string>();
  #firstChange: { readonly change: ForeignChange; readonly at: number } | undefined;
  #changes = 0;

  /** Anything may differ. */
  get anythingMayDiffer(): boolean {
    return this.everything || this.tableDeleted;
  }

  /** Records the element with this key, which is in `bytes`. */
  addKey(id: TableId, bytes: Uint8Array, start: number, length: number): void {
    if (this.wholeTables.has(id)) return;
    // Tables with ranges are small and cannot be read by key.
    if (hasRanges(id) || length !== keySize(id)) {
      this.#addWholeTable(id);
      return;
    }
    const keys = tableBuffer(this.keys, id);
    if (keys.length < TOUCHED_KEYS_MAX * length) keys.append(bytes, start, length);
    else this.#addWholeTable(id);
  }

  /** Adds the objects that one change touched. `at`: time when it was noticed, in monotonic ms. */
  addChange(other: TouchedObjects, change: ForeignChange, at: number): void {
    this.#changes++;
    this.#firstChange ??= { change, at };
    this.#join(other);
  }

  /** Adds what was touched later. */
  addLater(later: TouchedObjects): void {
    this.#changes += later.#changes;
    this.#firstChange ??= later.#firstChange;
    this.#join(later);
  }

  /** Takes over buffers of `other`, which must not be used afterwards. */
  #join(other: TouchedObjects): void {
    this.everything ||= other.everything;
    this.tableDeleted ||= other.tableDeleted;
    this.chains ||= other.chains;
    for (const id of other.wholeTables) this.#addWholeTable(id);
    for (const [id, keys] of other.keys) {
      const own = this.keys.get(id);
      if (this.wholeTables.has(id)) continue;
      if (own === undefined) this.keys.set(id, keys);
      else if (own.length + keys.length > TOUCHED_KEYS_MAX * keySize(id)) this.#addWholeTable(id);
      else own.append(keys.view(), 0, keys.length);
    }
  }

  #addWholeTable(id: TableId): void {
    this.wholeTables.add(id);
    this.keys.delete(id);
  }

  /** The first change and the number of changes; undefined if there was none. */
  get summary():
    | { readonly change: ForeignChange; readonly at: number; readonly changes: number }
    | undefined {
    return this.#firstChange && { ...this.#firstChange, changes: this.#changes };
  }

  /** `objects`, and the keys. Lost events and a deleted table are reported as a single object. */
  objectNames(): readonly string[] {
    if (this.everything) return ["everything"];
    if (this.tableDeleted) return ["the table"];
    const names = [...this.objects];
    for (const [id, keys] of this.keys) {
      const size = keySize(id);
      const count = keys.length / size;
      if (count > NAMED_KEYS_MAX) names.push(`${id}`);
      else {
        const bytes = Buffer.from(keys.view());
        for (let at = 0; at < keys.length; at += size) {
          names.push(`${id} ${bytes.toString("hex", at, at + size)}`);
        }
      }
    }
    for (const id of this.wholeTables) names.push(`${id}`);
    return names;
  }
}
