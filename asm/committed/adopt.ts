// What the kernel tells about elements: which exist (at start and in audits) and how often they
// were hit.

import {
  COMPARED_SAME,
  PACKETS_BYTES,
  READ_HEADER,
  READ_OWNER,
  TABLE_SLOTS,
} from "../layout/element";
import { SLOT_NUMBER_BYTES } from "../layout/key";
import { OWNER_ADOPTED } from "../layout/owner";
import { doubleWord, sameBytes, word } from "../memory/bytes";
import { REGION_BYTES, region } from "../memory/region";
import { slotItem, tableSlot, tableSlots } from "../memory/table";
import { revokeCommit } from "./diff";
import { ELEMENT_KEY, ELEMENT_OWNER, ELEMENT_PACKETS, PACKETS_UNKNOWN } from "./element-record";
import { find, hashKey, insert, KEY_MAX, reserve, Table, tableOf, valueOf } from "./elements";

const exchange = region(memory.data(REGION_BYTES));
const key: usize = memory.data(KEY_MAX);
let cursor: u32 = 0;

/** Where host and core exchange `bytes` for the functions below; 0 when memory cannot grow. */
export function exchangeRegion(bytes: u32): usize {
  exchange.clear();
  return exchange.reserve(max(bytes, 1)) ? exchange.base : 0;
}

/**
 * Takes over elements (key, value) that the kernel has. A key that is committed keeps its owner and
 * takes the kernel's value. False when memory cannot grow: nothing has changed then.
 */
export function adopt(id: u32, count: u32): bool {
  const table = tableOf(id);
  const size: usize = table.keySize + table.valueSize;
  assert(<u64>count * size <= exchange.capacity);
  if (!reserve(table, count)) return false;
  revokeCommit();
  for (let index: u32 = 0; index < count; index++) {
    const from = exchange.base + index * size;
    const hash = hashKey(table, from);
    let element = find(table, from, hash);
    if (element) {
      memory.copy(valueOf(table, element), from + table.keySize, table.valueSize);
    } else {
      element = insert(table, OWNER_ADOPTED, from, from + table.keySize, hash);
    }
    store<u64>(element, PACKETS_UNKNOWN, ELEMENT_PACKETS);
  }
  return true;
}

/**
 * Compares elements (key, value) that the kernel has with what is committed, and writes for each,
 * from the start of the exchange region, an i32: COMPARED_SAME, or whose it is; OWNER_ADOPTED for a
 * key that is not committed.
 */
export function compare(id: u32, count: u32): void {
  const table = tableOf(id);
  const size: usize = table.keySize + table.valueSize;
  assert(<u64>count * size <= exchange.capacity);
  for (let index: u32 = 0; index < count; index++) {
    const from = exchange.base + index * size;
    const element = find(table, from, hashKey(table, from));
    let whose: i32 = OWNER_ADOPTED;
    if (element) {
      const same = sameBytes(valueOf(table, element), from + table.keySize, table.valueSize);
      whose = same ? COMPARED_SAME : load<i32>(element, ELEMENT_OWNER);
    }
    store<i32>(word(exchange.base, index), whose);
  }
}

/** These elements (key) were made anew in the kernel: their counters start over. */
export function madeAnew(id: u32, count: u32): void {
  const table = tableOf(id);
  assert(<u64>count * table.keySize <= exchange.capacity);
  for (let index: u32 = 0; index < count; index++) {
    const from = exchange.base + index * table.keySize;
    const element = find(table, from, hashKey(table, from));
    if (element) store<u64>(element, 0, ELEMENT_PACKETS);
  }
}

/**
 * Takes readings (key, u64 packets) and writes for each, from the start of the exchange region, the
 * packets since the last reading as f64.
 */
export function countPackets(id: u32, readings: u32): void {
  const table = tableOf(id);
  const size: usize = table.keySize + PACKETS_BYTES;
  assert(<u64>readings * size <= exchange.capacity);
  for (let index: u32 = 0; index < readings; index++) {
    const from = exchange.base + index * size;
    const packets = load<u64>(from + table.keySize);
    const element = find(table, from, hashKey(table, from));
    let fresh: u64 = 0;
    if (element) {
      const last = load<u64>(element, ELEMENT_PACKETS);
      // Fewer than before: the kernel's element was made anew.
      if (last != PACKETS_UNKNOWN) fresh = packets >= last ? packets - last : packets;
      store<u64>(element, packets, ELEMENT_PACKETS);
    }
    store<f64>(doubleWord(exchange.base, index), <f64>fresh);
  }
}

/** The next call of `readElements` starts over. */
export function rewind(): void {
  cursor = 0;
}

/**
 * Writes up to `most` elements of a table into the exchange region, as READ records. Returns how
 * many; 0 after the last. Elements must not change between two calls.
 */
export function readElements(id: u32, most: u32): u32 {
  const table = tableOf(id);
  const size: usize = table.keySize + table.valueSize;
  assert(<u64>most * (READ_HEADER + size) <= exchange.capacity);
  let to = exchange.base;
  let read: u32 = 0;
  const header = changetype<usize>(table);
  const end = tableSlots(header);
  while (read < most && cursor < end) {
    const element: usize = slotItem(tableSlot(header, cursor));
    cursor++;
    if (!element) continue;
    store<u32>(to, load<u32>(element, ELEMENT_OWNER), READ_OWNER);
    memory.copy(to + READ_HEADER, element + ELEMENT_KEY, size);
    to += READ_HEADER + size;
    read++;
  }
  return read;
}

/** Owner of the element whose key is at the start of the exchange region; -1 if there is none. */
export function ownerOf(id: u32): i32 {
  const table = tableOf(id);
  const element = find(table, exchange.base, hashKey(table, exchange.base));
  return element ? load<i32>(element, ELEMENT_OWNER) : -1;
}

/**
 * Where the value of the element is whose key is at the start of the exchange region; 0 if there is
 * none.
 */
export function valueAt(id: u32): usize {
  const table = tableOf(id);
  const element = find(table, exchange.base, hashKey(table, exchange.base));
  return element ? valueOf(table, element) : 0;
}

/**
 * Does a slot of the frontend (key without slot, then endpoint, in the exchange region) lead there?
 */
export function hasEndpoint(id: u32): bool {
  const table = tableOf(id);
  assert(table.flags & TABLE_SLOTS);
  const frontendSize = table.keySize - SLOT_NUMBER_BYTES;
  const endpoint = exchange.base + frontendSize;
  memory.copy(key, exchange.base, frontendSize);
  let slot: u32 = 0;
  while (true) {
    store<u32>(key + frontendSize, slot++);
    const element = find(table, key, hashKey(table, key));
    if (!element) return false;
    if (sameBytes(valueOf(table, element), endpoint, table.valueSize)) return true;
  }
}

export function elementCount(id: u32): u32 {
  return tableOf(id).count;
}
