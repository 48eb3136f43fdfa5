// Compares what is desired for some owners with what is committed. Two passes that change nothing but
// marks: pass 1 over the desired records finds additions, pass 2 over the owners' elements finds what nobody
// wants. Room for the commit is made beforehand, so that the commit cannot fail: by then the kernel has it.

import {
  LEFTOVERS_AT_ONCE,
  OP_ADD,
  OP_HEADER,
  OWNER_ADOPTED,
  RECORD_ELEMENT,
  RECORD_HEADER,
  RECORD_SLOTS,
  TABLE_SLOTS,
} from "../layout/layout";
import { REGION_SIZE, region } from "../memory/region";
import {
  add,
  beginBatch,
  ignore,
  isAdded,
  isMarked,
  keep,
  mark,
  reserveAdditions,
  transferCount,
  transferElement,
  transferOwner,
} from "./batch";
import { ELEMENT_NEXT, ELEMENT_OWNER, ELEMENT_TABLE } from "./element-record";
import { find, hashKey, insert, remove, Table, tableOf } from "./elements";
import {
  clearOperations,
  deleteOperation,
  endAdditions,
  endDeletions,
  joinOperations,
  operationsBytes,
  operationsPointer,
} from "./operations";
import { firstOf, isOwner, link, settleOwner, unlink } from "./owners";
import { wantSlots } from "./slots";

const desired = region(memory.data(REGION_SIZE));
const batch = region(memory.data(REGION_SIZE)); // u32 owner each
let batchCount: u32 = 0;
let committable: bool = false;

/** Where the host writes at least `bytes` of desired records; 0 when memory cannot grow. */
export function desiredRegion(bytes: u32): usize {
  // What was written before must survive growth.
  desired.length = desired.capacity;
  return desired.reserve(max(bytes, 4)) ? desired.base : 0;
}

/** Where the host writes the owners of the batch, a u32 each; 0 when memory cannot grow. */
export function ownersRegion(count: u32): usize {
  return batch.reserve(max(count << 2, 4)) ? batch.base : 0;
}

/**
 * Finds the operations for `bytes` of desired records of `owners` owners, the records of one owner together
 * and in the order of the owners. False when memory cannot grow: nothing has changed then.
 */
export function diff(bytes: u32, owners: u32): bool {
  assert(bytes <= desired.capacity && owners << 2 <= batch.capacity);
  validate(bytes, owners);
  committable = false;
  batchCount = owners;
  clearOperations();
  beginBatch();
  committable =
    findAdditions(bytes) && findDeletions() && joinOperations(owners) && reserveAdditions();
  if (!committable) clearOperations();
  return committable;
}

/** The kernel has the operations of the last `diff`. */
export function commit(): void {
  assert(committable);
  committable = false;
  const end = operationsPointer() + operationsBytes();
  let at = operationsPointer();
  while (at < end) {
    const table = tableOf(load<u8>(at, 1));
    const key = at + OP_HEADER;
    const hash = hashKey(table, key);
    if (load<u8>(at) == OP_ADD) {
      insert(table, load<u32>(at, 4), key, key + table.keySize, hash);
    } else {
      const element = find(table, key, hash);
      assert(element);
      const former = load<u32>(element, ELEMENT_OWNER);
      remove(table, element, hash);
      if (former != load<u32>(at, 4)) leave(former);
    }
    at = key + table.keySize + table.valueSize;
  }
  for (let index: u32 = 0; index < transferCount(); index++) {
    const element = transferElement(index);
    const former = load<u32>(element, ELEMENT_OWNER);
    unlink(element);
    link(element, transferOwner(index));
    leave(former);
  }
  for (let index: u32 = 0; index < batchCount; index++) settleOwner(batchOwner(index));
}

// An owner lost an element to another. Those of the batch may still get some; they settle at the end.
function leave(former: u32): void {
  if (former == OWNER_ADOPTED) return;
  for (let index: u32 = 0; index < batchCount; index++) {
    if (batchOwner(index) == former) return;
  }
  settleOwner(former);
}

function batchOwner(index: u32): u32 {
  return load<u32>(batch.base + ((<usize>index) << 2));
}

/** What `diff` found no longer holds: committed elements changed otherwise. */
export function revokeCommit(): void {
  committable = false;
}

// Everything the host could get wrong, before anything is touched.
function validate(bytes: u32, owners: u32): void {
  const end = desired.base + bytes;
  let at = desired.base;
  let index: u32 = 0;
  for (let owner: u32 = 0; owner < owners; owner++) assert(isOwner(batchOwner(owner)));
  while (at < end) {
    assert(at + RECORD_HEADER <= end);
    while (index < owners && batchOwner(index) != load<u32>(at, 4)) index++;
    assert(index < owners); // a record of no owner of the batch, or out of their order
    const table = tableOf(load<u8>(at, 1));
    const kind = load<u8>(at);
    assert(table.flags & TABLE_SLOTS ? kind == RECORD_SLOTS : kind == RECORD_ELEMENT);
    if (kind == RECORD_SLOTS) {
      at += RECORD_HEADER + table.keySize + 4;
      assert(at <= end);
      const span = <u64>load<u32>(at - 8) + <u64>load<u32>(at - 4) * table.valueSize;
      assert(span <= (<u64>memory.size()) << 16);
    } else {
      at += RECORD_HEADER + table.keySize + table.valueSize;
      assert(at <= end);
    }
  }
}

function findAdditions(bytes: u32): bool {
  const end = desired.base + bytes;
  let at = desired.base;
  for (let index: u32 = 0; index < batchCount; index++) {
    const owner = batchOwner(index);
    while (at < end && load<u32>(at, 4) == owner) {
      const table = tableOf(load<u8>(at, 1));
      const key = at + RECORD_HEADER;
      if (load<u8>(at) == RECORD_SLOTS) {
        at = key + table.keySize + 4;
        if (!wantSlots(table, owner, key, load<u32>(at - 8), load<u32>(at - 4))) return false;
      } else {
        at = key + table.keySize + table.valueSize;
        if (!wantElement(table, owner, key)) return false;
      }
    }
    if (!endAdditions(index)) return false;
  }
  return true;
}

function wantElement(table: Table, owner: u32, key: usize): bool {
  const hash = hashKey(table, key);
  const value = key + table.keySize;
  const element = find(table, key, hash);
  if (element ? isMarked(element) : isAdded(table, key, hash)) {
    ignore();
    return true;
  }
  if (element) return keep(table, element, owner, key, value);
  return add(table, owner, key, value, hash, true);
}

function findDeletions(): bool {
  for (let index: u32 = 0; index < batchCount; index++) {
    const owner = batchOwner(index);
    let left = owner == OWNER_ADOPTED ? LEFTOVERS_AT_ONCE : u32.MAX_VALUE;
    for (let element = firstOf(owner); element; element = load<u32>(element, ELEMENT_NEXT)) {
      if (isMarked(element)) continue;
      if (!left--) break;
      mark(element);
      if (!deleteOperation(tableOf(load<u32>(element, ELEMENT_TABLE)), owner, element))
        return false;
    }
    endDeletions(index);
  }
  return true;
}
