/**
 * Reads the elements that another program touched: only these if they are few, otherwise the whole
 * table.
 */
import type { Core } from "../../core/core.ts";
import { hasRanges, keySize, type TableId, tableLabel } from "../../model/tables.ts";
import type { Netlink } from "../../netlink/socket.ts";
import { ByteBuffer, keyString } from "../read/byte-buffer.ts";
import { hasCatchall, MANY_ELEMENTS } from "../read/read-elements.ts";
import { readSets } from "../read/read-objects.ts";
import {
  isSlots,
  readTableElements,
  readTableElementsOf,
  type TableElements,
} from "../read/read-table.ts";
import { ADD_ORDER } from "../wire/sort-operations.ts";
import type { TouchedObjects } from "./touched.ts";

/**
 * Up to this many keys of a table are read by key. A key that does not exist costs a separate
 * request of 5 us. A dump of 50,000 elements takes 0.2 s. It takes no time if all are gone, which
 * is the usual reason for many touched keys.
 */
const KEYS_READ_MAX = 1024;
/** Number of keys read without a pause. Reading them takes a few milliseconds. */
const SLICE = 512;
/**
 * A dump of fewer elements takes at most 50 ms. A dump cannot pause, so larger tables are read by
 * key.
 */
const SLICED_ELEMENTS = 16_384;
/** Size of the sample that shows whether most elements of a table still exist. */
const SAMPLE = 256;

/** The touched elements of one table, as found in the kernel. */
export interface TableState {
  readonly id: TableId;
  readonly present: TableElements;
  /** The keys that were read. If undefined, the whole table was read. */
  readonly requestedKeys: Uint8Array | undefined;
}

/**
 * Reads the touched elements of every table, in the order of their repair. `pause` lets other work
 * run in between.
 */
export async function readTouched(
  socket: Netlink,
  core: Core,
  touched: TouchedObjects,
  pause: () => Promise<void>,
): Promise<TableState[]> {
  const reader = new TouchedReader(socket, core, pause);
  const states: TableState[] = [];
  for (const id of ADD_ORDER) {
    const keys = touched.keys.get(id);
    const whole = touched.anythingMayDiffer || touched.wholeTables.has(id);
    if (!whole && keys === undefined) continue;
    if (states.length > 0) await pause();
    states.push(
      await (whole || keys === undefined ? reader.readTable(id) : reader.readKeys(id, keys.view())),
    );
  }
  return states;
}

class TouchedReader {
  readonly #socket: Netlink;
  readonly #core: Core;
  readonly #pause: () => Promise<void>;

  constructor(socket: Netlink, core: Core, pause: () => Promise<void>) {
    this.#socket = socket;
    this.#core = core;
    this.#pause = pause;
  }

  /**
   * Reads elements by key. A key can occur twice, because a deletion and a new addition are two
   * events.
   */
  async readKeys(id: TableId, keys: Uint8Array): Promise<TableState> {
    const count = keys.length / keySize(id);
    const committed = this.#core.elementCount(id);
    if (count > KEYS_READ_MAX && (committed < MANY_ELEMENTS || count >= committed)) {
      return this.readTable(id);
    }
    const requestedKeys = distinct(id, keys);
    return { id, present: await this.#readSlices(id, requestedKeys), requestedKeys };
  }

  /**
   * Reads a whole table. A large table is read by its committed keys if foreign elements can be
   * ruled out or ignored.
   *
   * Slots: foreign elements do no harm, because no frontend chooses from them. One that blocks ours
   * shows up when the kernel refuses ours.
   *
   * Other tables: the kernel's element count (6.17 and later) shows whether there are foreign
   * elements.
   */
  async readTable(id: TableId): Promise<TableState> {
    const committed = this.#core.elementCount(id);
    const large = committed >= SLICED_ELEMENTS && !hasRanges(id);
    const count = large ? readSets(this.#socket).get(tableLabel(id))?.count : undefined;
    const foreignMatter = !(isSlots(id) && committed >= MANY_ELEMENTS);
    if (large && (!foreignMatter || (count !== undefined && count <= committed))) {
      const keys = new ByteBuffer();
      this.#core.eachElement(id, (key) => keys.append(key, 0, key.length));
      const most =
        count === undefined ? this.#isMostlyPresent(id, keys.view()) : count >= SLICED_ELEMENTS;
      const present = most ? await this.#readSlices(id, keys.view()) : undefined;
      if (present && (!foreignMatter || present.count === count)) {
        const catchall = hasCatchall(this.#socket, tableLabel(id));
        return { id, present: { ...present, catchall }, requestedKeys: undefined };
      }
    }
    return { id, present: readTableElements(this.#socket, id), requestedKeys: undefined };
  }

  /** Estimates from a sample whether most of these elements exist. */
  #isMostlyPresent(id: TableId, keys: Uint8Array): boolean {
    const size = keySize(id);
    const step = Math.max(1, Math.floor(keys.length / size / SAMPLE)) * size;
    const sample = new ByteBuffer(SAMPLE * size);
    for (let at = 0; at < keys.length; at += step) sample.append(keys, at, size);
    const { count } = readTableElementsOf(this.#socket, id, sample.view());
    return count > sample.length / size / 2;
  }

  async #readSlices(id: TableId, keys: Uint8Array): Promise<TableElements> {
    const stride = SLICE * keySize(id);
    const found = new ByteBuffer();
    let count = 0;
    for (let at = 0; at < keys.length; at += stride) {
      if (at > 0) await this.#pause();
      const some = readTableElementsOf(this.#socket, id, keys.subarray(at, at + stride));
      found.append(some.keysAndValues, 0, some.keysAndValues.length);
      count += some.count;
    }
    return { keysAndValues: found.view(), count };
  }
}

/** Removes duplicate keys. */
function distinct(id: TableId, keys: Uint8Array): Uint8Array {
  const size = keySize(id);
  const seen = new Set<string>();
  const unique = new ByteBuffer(keys.length);
  for (let at = 0; at < keys.length; at += size) {
    const text = keyString(keys.subarray(at, at + size));
    if (seen.has(text)) continue;
    seen.add(text);
    unique.append(keys, at, size);
  }
  return unique.view();
}
