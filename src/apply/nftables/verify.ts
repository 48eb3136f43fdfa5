/** Elements that somebody else touched are read from the kernel: only those, as long as they are few. */
import type { Core } from "../../core/core.ts";
import { keySize, TABLE_IDS, type TableId, tableLabel } from "../../plan/tables.ts";
import type { Netlink } from "../netlink/socket.ts";
import { MANY_ELEMENTS } from "./elements-read.ts";
import { readSets } from "./read.ts";
import { textOf } from "./restore.ts";
import {
  Bytes,
  readTableElements,
  readTableElementsAt,
  readTableElementsOf,
  type TableElements,
} from "./table-read.ts";
import { hasRanges, type Touched } from "./touched.ts";

/**
 * Up to so many keys of a table are asked for one by one: a key that is not there costs a request, 5 us. A dump of
 * 50,000 takes 0.2 s, but it is done at once where all are gone, which is what many keys mostly mean.
 */
const KEYS_ASKED_FOR = 1024;

/** What the kernel has of one table where it was touched. */
export interface TableState {
  readonly id: TableId;
  readonly present: TableElements;
  /** Keys that were asked for; undefined: `present` is all there is. */
  readonly asked: Uint8Array | undefined;
}

/** Reads what was touched of every table. */
export function readTouched(socket: Netlink, core: Core, touched: Touched): TableState[] {
  const whole = (id: TableId) => touched.everywhere || touched.whole.has(id);
  const sets = TABLE_IDS.some(whole) ? readSets(socket) : undefined;
  return TABLE_IDS.flatMap((id): TableState[] => {
    if (whole(id)) {
      const count = sets?.get(tableLabel(id))?.count;
      return [{ id, present: readWhole(socket, core, id, count), asked: undefined }];
    }
    const keys = touched.keys.get(id);
    return keys === undefined ? [] : [readKeys(socket, core, id, distinct(id, keys.whole()))];
  });
}

function readKeys(socket: Netlink, core: Core, id: TableId, keys: Uint8Array): TableState {
  const count = keys.length / keySize(id);
  const committed = core.elementCount(id);
  if (count > KEYS_ASKED_FOR && (committed < MANY_ELEMENTS || count >= committed)) {
    return { id, present: readTableElements(socket, id), asked: undefined };
  }
  return { id, present: readTableElementsOf(socket, id, keys), asked: keys };
}

/** `count`: of its elements, if the kernel says. Large tables are read by key if they can only hold what they should. */
function readWhole(
  socket: Netlink,
  core: Core,
  id: TableId,
  count: number | undefined,
): TableElements {
  const large = count !== undefined && count >= MANY_ELEMENTS && !hasRanges(id);
  if (large && count === core.elementCount(id)) {
    const keys = new Bytes();
    core.eachElement(id, (key) => keys.append(key, 0, key.length));
    const all = readTableElementsAt(socket, id, keys.whole());
    if (all !== undefined) return all;
  }
  return readTableElements(socket, id);
}

/** Each key once: one that was deleted and added again was told twice. */
function distinct(id: TableId, keys: Uint8Array): Uint8Array {
  const size = keySize(id);
  const seen = new Set<string>();
  const once = new Bytes(keys.length);
  for (let at = 0; at < keys.length; at += size) {
    const text = textOf(keys.subarray(at, at + size));
    if (seen.has(text)) continue;
    seen.add(text);
    once.append(keys, at, size);
  }
  return once.whole();
}
