/**
 * Elements that somebody else touched: read from the kernel, compared with what is committed. What differs the core
 * is told, so that the next diff of its owner mends it and nothing else. Two steps: whatever can fail comes first, since
 * an owner that was not told of after the core knew would never be.
 */
import { COMPARED_SAME, OWNER_ADOPTED } from "../../../asm/layout.ts";
import type { Core } from "../../core/core.ts";
import { keySize, TABLE_IDS, type TableId, tableLabel, valueSize } from "../../plan/tables.ts";
import type { Netlink } from "../netlink/socket.ts";
import type { Batch } from "./batch.ts";
import * as nft from "./constants.ts";
import { MANY_ELEMENTS } from "./elements-read.ts";
import { writeAttributes } from "./expressions.ts";
import { TABLE } from "./names.ts";
import { readSets } from "./read.ts";
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
export interface Finding {
  readonly id: TableId;
  readonly present: TableElements;
  /** Keys that were asked for; undefined: `present` is all there is. */
  readonly asked: Uint8Array | undefined;
}

/** Reads what was touched of every table. */
export function readTouched(socket: Netlink, core: Core, touched: Touched): Finding[] {
  const whole = (id: TableId) => touched.everything || touched.whole.has(id);
  const counts = TABLE_IDS.some(whole) ? readSets(socket) : undefined;
  return TABLE_IDS.flatMap((id): Finding[] => {
    if (whole(id)) {
      const count = counts?.get(tableLabel(id));
      return [{ id, present: readWhole(socket, core, id, count), asked: undefined }];
    }
    const keys = touched.keys.get(id);
    return keys === undefined ? [] : [readKeys(socket, core, id, distinct(id, keys.whole()))];
  });
}

function readKeys(socket: Netlink, core: Core, id: TableId, keys: Uint8Array): Finding {
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

/** What differed in one table, now that the core knows of it. */
export interface Settled {
  /** Elements that were missing, or were not what they should be, or should not be there. */
  readonly elements: number;
  /** It was empty, and more than one should be there. */
  readonly emptied: boolean;
}

/** Tells the core; owners of what differs are added to `owners`. */
export function settle(core: Core, { id, present, asked }: Finding, owners: Set<number>): Settled {
  const committed = core.elementCount(id);
  const { keysAndValues, count } = present;
  const whose = count > 0 ? core.compare(id, keysAndValues, count) : new Int32Array(0);
  const stride = keySize(id) + valueSize(id);
  const differing = new Bytes();
  let strays = 0;
  for (let i = 0; i < count; i++) {
    const owner = whose[i] as number;
    if (owner === COMPARED_SAME) continue;
    differing.append(keysAndValues, i * stride, stride);
    owners.add(owner);
    if (owner === OWNER_ADOPTED) strays++;
  }
  const missing = new Bytes();
  const isMissing = (key: Uint8Array, owner: number) => {
    missing.append(key, 0, key.length);
    owners.add(owner);
  };
  if (asked !== undefined) eachMissing(core, id, present, asked, isMissing);
  else if (count - strays < committed) eachUnread(core, id, present, isMissing);
  const lost = missing.length / keySize(id);
  const changed = differing.length / stride;
  if (lost > 0) core.forget(id, missing.whole(), lost);
  if (changed > 0) core.adopt(id, differing.whole(), changed);
  return { elements: lost + changed, emptied: lost > 1 && lost === committed };
}

type EachMissing = (key: Uint8Array, owner: number) => void;

/** Of the keys that were asked for, those that are committed and were not found. */
function eachMissing(
  core: Core,
  id: TableId,
  present: TableElements,
  asked: Uint8Array,
  each: EachMissing,
): void {
  const found = keysOf(id, present);
  const size = keySize(id);
  for (let at = 0; at < asked.length; at += size) {
    const key = asked.subarray(at, at + size);
    const owner = found.has(textOf(key)) ? undefined : core.ownerOf(id, key);
    if (owner !== undefined) each(key, owner);
  }
}

/** What is committed and was not read. */
function eachUnread(core: Core, id: TableId, present: TableElements, each: EachMissing): void {
  const found = keysOf(id, present);
  core.eachElement(id, (key, _, owner) => {
    if (found.size === 0 || !found.has(textOf(key))) each(key, owner);
  });
}

function keysOf(id: TableId, { keysAndValues, count }: TableElements): Set<string> {
  const size = keySize(id);
  const stride = size + valueSize(id);
  const keys = new Set<string>();
  for (let i = 0; i < count; i++) {
    keys.add(textOf(keysAndValues.subarray(i * stride, i * stride + size)));
  }
  return keys;
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

const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");

/** Nothing that is committed is in the kernel: the table was made anew. */
export function forgetAll(core: Core): void {
  for (const id of TABLE_IDS) {
    const keys = new Bytes();
    core.eachElement(id, (key) => keys.append(key, 0, key.length));
    const count = keys.length / keySize(id);
    if (count > 0) core.forget(id, keys.whole(), count);
  }
}

/** NFT_MSG_DELSETELEM of the element without a key, in each of these tables. */
export function writeDeleteCatchalls(batch: Batch, ids: readonly TableId[]): void {
  for (const id of ids) {
    const message = batch.open(nft.NFT_MSG_DELSETELEM, 0);
    writeAttributes(batch.writer, [
      [nft.NFTA_SET_ELEM_LIST_TABLE, TABLE],
      [nft.NFTA_SET_ELEM_LIST_SET, tableLabel(id)],
      [
        nft.NFTA_SET_ELEM_LIST_ELEMENTS,
        [[nft.NFTA_LIST_ELEM, [[nft.NFTA_SET_ELEM_FLAGS, nft.NFT_SET_ELEM_CATCHALL]]]],
      ],
    ]);
    batch.close(message);
  }
}
