// Takes in facts that the host read from the kernel: which elements exist (at start and in
// repairs), and how often packets hit them.

import { COMPARED_SAME, PACKETS_BYTES, READ_HEADER, READ_OWNER } from "../layout/element";
import { OWNER_ADOPTED } from "../layout/owner";
import { doubleWord, sameBytes, word } from "../memory/bytes";
import { REGION_BYTES, region } from "../memory/region";
import { slotItem, tableSlot, tableSlots } from "../memory/table";
import { revokeCommit } from "./diff";
import { ELEMENT_KEY, ELEMENT_OWNER, ELEMENT_PACKETS, PACKETS_UNKNOWN } from "./element-record";
import { find, hashKey, insert, reserve, Table, tableOf, valueOf } from "./elements";

const exchange = region(memory.data(REGION_BYTES));
let cursor: u32 = 0;

/**
 * Returns a region of `bytes` bytes through which host and core exchange data for the functions
 * below; 0 if memory cannot grow.
 */
export function exchangeRegion(bytes: u32): usize {
  exchange.clear();
  return exchange.reserve(max(bytes, 1)) ? exchange.base : 0;
}

/**
 * Adds elements (key, value) that exist in the kernel. A committed key keeps its owner and takes
 * the kernel's value. Returns false, with nothing changed, if memory cannot grow.
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
 * Compares elements (key, value) that exist in the kernel with the committed ones. For each it
 * writes an i32, from the start of the exchange region: COMPARED_SAME if they match, otherwise the
 * owner of the committed element. The owner is OWNER_ADOPTED if the key is not committed.
 */
export function compare(id: u32, count: u32): void {
  const table = tableOf(id);
  const size: usize = table.keySize + table.valueSize;
  assert(<u64>count * size <= exchange.capacity);
  for (let index: u32 = 0; index < count; index++) {
    const from = exchange.base + index * size;
    const element = find(table, from, hashKey(table, from));
    let owner: i32 = OWNER_ADOPTED;
    if (element) {
      const same = sameBytes(valueOf(table, element), from + table.keySize, table.valueSize);
      owner = same ? COMPARED_SAME : load<i32>(element, ELEMENT_OWNER);
    }
    store<i32>(word(exchange.base, index), owner);
  }
}

/** Resets the counters of these elements (key), because they were created again in the kernel. */
export function resetCounters(id: u32, count: u32): void {
  const table = tableOf(id);
  assert(<u64>count * table.keySize <= exchange.capacity);
  for (let index: u32 = 0; index < count; index++) {
    const from = exchange.base + index * table.keySize;
    const element = find(table, from, hashKey(table, from));
    if (element) store<u64>(element, 0, ELEMENT_PACKETS);
  }
}

/**
 * Takes readings (key, u64 packets). For each it writes the packets since the last reading as an
 * f64, from the start of the exchange region.
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
      // If the count fell, the element was created again in the kernel.
      if (last != PACKETS_UNKNOWN) fresh = packets >= last ? packets - last : packets;
      store<u64>(element, packets, ELEMENT_PACKETS);
    }
    store<f64>(doubleWord(exchange.base, index), <f64>fresh);
  }
}

/** Restarts `readElements` at the first element. */
export function rewind(): void {
  cursor = 0;
}

/**
 * Writes up to `most` elements of a table into the exchange region, as READ records. Returns their
 * number; 0 after the last one. Elements must not change between two calls.
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

/**
 * Returns the owner of the element with the key at the start of the exchange region; -1 if there is
 * none.
 */
export function ownerOf(id: u32): i32 {
  const table = tableOf(id);
  const element = find(table, exchange.base, hashKey(table, exchange.base));
  return element ? load<i32>(element, ELEMENT_OWNER) : -1;
}

/**
 * Returns the address of the value of the element with the key at the start of the exchange region;
 * 0 if there is none.
 */
export function valueAt(id: u32): usize {
  const table = tableOf(id);
  const element = find(table, exchange.base, hashKey(table, exchange.base));
  return element ? valueOf(table, element) : 0;
}

export function elementCount(id: u32): u32 {
  return tableOf(id).count;
}
