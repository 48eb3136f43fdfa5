// Assigns endpoints to the slots of a frontend. The committed elements are the only slot state.
// Endpoints that stay keep their slot, others fill the holes, and pass 2 deletes the slots beyond
// the count because they are unwanted. Removing one of many endpoints moves only one other
// endpoint, into the free slot.

import { SLOT_NUMBER_BYTES } from "../layout/key";
import { sameBytes, word, wordsBytes } from "../memory/bytes";
import { hash32 } from "../memory/hash";
import { REGION_BYTES, region } from "../memory/region";
import { add, ignore, isAdded, isMarked, keep } from "./batch";
import { find, hashKey, KEY_MAX, Table, valueOf } from "./elements";

const KEPT: u32 = 1;
const TAKEN: u32 = 0xffffffff;

const key: usize = memory.data(KEY_MAX);
/** A u32 per slot: the committed element (| KEPT if its endpoint stays), or 0. */
const present = region(memory.data(REGION_BYTES));
/** A u32 per desired endpoint: the next one with the same value + 1, or TAKEN. */
const chain = region(memory.data(REGION_BYTES));
/** Hash table of values, u32: the first desired endpoint with that value + 1. */
const buckets = region(memory.data(REGION_BYTES));
let mask: u32 = 0;

/**
 * Wants `count` endpoints (records of the table's value size) in slots 0 to count - 1. `frontend`
 * points to the frontend's key without slot. Returns false if memory cannot grow.
 */
export function wantSlots(
  table: Table,
  owner: u32,
  frontend: usize,
  endpoints: usize,
  count: u32,
): bool {
  if (!count) return true;
  memory.copy(key, frontend, table.keySize - SLOT_NUMBER_BYTES);
  present.length = 0;
  if (!present.extend(<u32>wordsBytes(count))) return false;
  let found: u32 = 0;
  for (let slot: u32 = 0; slot < count; slot++) {
    const element = find(table, key, hashSlot(table, slot));
    store<u32>(word(present.base, slot), <u32>element);
    if (element) found++;
  }
  // Slot 0 represents the frontend: if it is taken, another owner of this batch has the frontend.
  const first = load<u32>(word(present.base, 0));
  if (first ? isMarked(first) : isAdded(table, key, hashSlot(table, 0))) {
    ignore();
    return true;
  }
  if (!found) {
    for (let slot: u32 = 0; slot < count; slot++) {
      if (!addSlot(table, owner, slot, endpoints + slot * table.valueSize)) return false;
    }
    return true;
  }
  return (
    indexEndpoints(table, endpoints, count) &&
    keepSlots(table, owner, endpoints, count) &&
    fillHoles(table, owner, endpoints, count)
  );
}

function keepSlots(table: Table, owner: u32, endpoints: usize, count: u32): bool {
  for (let slot: u32 = 0; slot < count; slot++) {
    const element = load<u32>(word(present.base, slot));
    if (!element) continue;
    const value = valueOf(table, element);
    if (!take(table, endpoints, value)) continue;
    hashSlot(table, slot);
    if (!keep(table, element, owner, key, value)) return false;
    store<u32>(word(present.base, slot), element | KEPT);
  }
  return true;
}

function fillHoles(table: Table, owner: u32, endpoints: usize, count: u32): bool {
  let endpoint: u32 = 0;
  for (let slot: u32 = 0; slot < count; slot++) {
    const element = load<u32>(word(present.base, slot));
    if (element & KEPT) continue;
    while (load<u32>(word(chain.base, endpoint)) == TAKEN) endpoint++;
    const value = endpoints + endpoint * table.valueSize;
    endpoint++;
    if (!element) {
      if (!addSlot(table, owner, slot, value)) return false;
    } else {
      hashSlot(table, slot);
      if (!keep(table, element, owner, key, value)) return false;
    }
  }
  return true;
}

function addSlot(table: Table, owner: u32, slot: u32, value: usize): bool {
  return add(table, owner, key, value, hashSlot(table, slot), slot == 0);
}

// Appends the slot number to the key and returns its hash.
function hashSlot(table: Table, slot: u32): u32 {
  store<u32>(key + table.keySize - SLOT_NUMBER_BYTES, slot);
  return hashKey(table, key);
}

// Builds a multiset of the desired endpoints: equal ones form a chain, and the hash table holds the
// first of each chain.
function indexEndpoints(table: Table, endpoints: usize, count: u32): bool {
  let capacity: u32 = 8;
  while (capacity < count << 1) capacity <<= 1;
  buckets.length = 0;
  chain.length = 0;
  const bytes = <u32>wordsBytes(capacity);
  if (!buckets.extend(bytes) || !chain.extend(<u32>wordsBytes(count))) return false;
  memory.fill(buckets.base, 0, bytes);
  mask = capacity - 1;
  for (let endpoint = count; endpoint > 0; endpoint--) {
    const bucket = bucketOf(table, endpoints, endpoints + (endpoint - 1) * table.valueSize);
    store<u32>(word(chain.base, endpoint - 1), load<u32>(bucket));
    store<u32>(bucket, endpoint);
  }
  return true;
}

// Takes one endpoint with this value out of the multiset, if there is one. Each desired endpoint is
// taken at most once. Two slots with the same value are two endpoints, so a slot keeps its value
// only if an endpoint is left for it.
//
// A taken endpoint is marked in the chain, so that fillHoles skips it. The bucket then advances to
// the next endpoint with the value. It keeps the last one, because an empty bucket would end the
// search for other values stored after it.
function take(table: Table, endpoints: usize, value: usize): bool {
  const bucket = bucketOf(table, endpoints, value);
  const endpoint = load<u32>(bucket);
  if (!endpoint) return false;
  const link = word(chain.base, endpoint - 1);
  const next = load<u32>(link);
  if (next == TAKEN) return false;
  store<u32>(link, TAKEN);
  if (next) store<u32>(bucket, next);
  return true;
}

function bucketOf(table: Table, endpoints: usize, value: usize): usize {
  let index = hash32(value, table.valueSize) & mask;
  while (true) {
    const bucket = word(buckets.base, index);
    const endpoint = load<u32>(bucket);
    if (!endpoint) return bucket;
    if (sameBytes(endpoints + (endpoint - 1) * table.valueSize, value, table.valueSize)) {
      return bucket;
    }
    index = (index + 1) & mask;
  }
}
