/**
 * What somebody else touched, as events told it, or what refused a transaction of ours. It says
 * where to look, not what is wrong: the truth is read from the kernel.
 */

import type { ForeignChange } from "../../backend/drift.ts";
import { hasRanges, keySize, type TableId } from "../../model/tables.ts";
import { type ByteBuffer, bufferFor } from "../read/byte-buffer.ts";

/** So many keys of one table in one transaction are named one by one; more are the table. */
const NAMED_KEYS_MAX = 64;
/** More keys of one table are not kept: the table is read as a whole. */
export const KEYS_MAX = 1 << 16;

export class Touched {
  /** Events were lost, or nobody listened: anything may differ. */
  everything = false;
  /**
   * A table of our name was deleted, or a map of it, with whatever was in it. It may be there again
   * by now.
   */
  gone = false;
  /** Chains, rules, maps of actions, or the table's own flags. */
  chains = false;
  /** Keys of elements, one behind the other. */
  readonly keys = new Map<TableId, ByteBuffer>();
  /** Tables to be read as a whole. */
  readonly whole = new Set<TableId>();
  /** Maps of clients, which packets fill, to which somebody added. */
  readonly clients = new Set<string>();
  /** What was touched, for whoever asks whether it is the same again and again. */
  readonly objects = new Set<string>();
  #told: { readonly change: ForeignChange; readonly at: number } | undefined;
  #changes = 0;

  /** Anything may differ. */
  get everywhere(): boolean {
    return this.everything || this.gone;
  }

  /** The element with this key, which stands in `bytes`. */
  key(id: TableId, bytes: Uint8Array, start: number, length: number): void {
    if (this.whole.has(id)) return;
    // Ranges are few and have no key to ask for.
    if (hasRanges(id) || length !== keySize(id)) {
      this.#wholly(id);
      return;
    }
    const keys = bufferFor(this.keys, id);
    if (keys.length < KEYS_MAX * length) keys.append(bytes, start, length);
    else this.#wholly(id);
  }

  /** Adds what one change touched. `at`: when it was noticed, monotonic ms. */
  take(other: Touched, change: ForeignChange, at: number): void {
    this.#changes++;
    this.#told ??= { change, at };
    this.#join(other);
  }

  /** Adds what was touched later. */
  absorb(later: Touched): void {
    this.#changes += later.#changes;
    this.#told ??= later.#told;
    this.#join(later);
  }

  /** What the other one has must not be used afterwards. */
  #join(other: Touched): void {
    this.everything ||= other.everything;
    this.gone ||= other.gone;
    this.chains ||= other.chains;
    for (const id of other.whole) this.#wholly(id);
    for (const map of other.clients) this.clients.add(map);
    for (const [id, keys] of other.keys) {
      const mine = this.keys.get(id);
      if (this.whole.has(id)) continue;
      if (mine === undefined) this.keys.set(id, keys);
      else if (mine.length + keys.length > KEYS_MAX * keySize(id)) this.#wholly(id);
      else mine.append(keys.view(), 0, keys.length);
    }
  }

  #wholly(id: TableId): void {
    this.whole.add(id);
    this.keys.delete(id);
  }

  /** The first change that was taken, and how many; undefined if there was none. */
  get story():
    | { readonly change: ForeignChange; readonly at: number; readonly changes: number }
    | undefined {
    return this.#told && { ...this.#told, changes: this.#changes };
  }

  /** `objects`, with keys. What concerns everything is one object, whatever else is named. */
  named(): readonly string[] {
    if (this.everything) return ["everything"];
    if (this.gone) return ["the table"];
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
    for (const id of this.whole) names.push(`${id}`);
    return names;
  }
}
