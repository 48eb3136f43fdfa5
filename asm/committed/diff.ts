// Compares the desired elements of some owners with the committed ones. Two passes change nothing
// but marks: pass 1 over the desired records finds additions, pass 2 over the owners' elements
// finds unwanted ones. Memory for the commit is reserved beforehand, because the commit must not
// fail: at that point the kernel already has the changes.

import { SPAN_BYTES, SPAN_COUNT, SPAN_POINTER } from "../layout/choice";
import {
  DESIRED_ELEMENT,
  DESIRED_EVERYONE,
  DESIRED_HEADER,
  DESIRED_KIND,
  DESIRED_NUMBERS,
  DESIRED_OUTSIDE,
  DESIRED_OWNER,
  DESIRED_SLOTS,
  DESIRED_TABLE,
} from "../layout/desired";
import { TABLE_NUMBERED, TABLE_NUMBERS, TABLE_SLOTS } from "../layout/element";
import { ENDPOINT_NUMBER_BYTES, SLOT_NUMBER_BYTES } from "../layout/key";
import { OP_ADD, OP_HEADER, OP_KIND, OP_OWNER, OP_TABLE } from "../layout/operation";
import { LEFTOVERS_AT_ONCE, OWNER_ADOPTED } from "../layout/owner";
import { word, wordsBytes } from "../memory/bytes";
import { REGION_BYTES, region } from "../memory/region";
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
import { wantNumbers } from "./numbers";
import {
  clearOperations,
  deleteOperation,
  endAdditions,
  endDeletions,
  joinOperations,
  operationsBytes,
  operationsPointer,
} from "./operations";
import { firstOf, isOwner, link, releaseOwnerIfUnused, unlink } from "./owners";
import { wantSlots } from "./slots";

const desired = region(memory.data(REGION_BYTES));
const batch = region(memory.data(REGION_BYTES)); // u32 owner each
let batchCount: u32 = 0;
let committable: bool = false;

/** Returns the address for at least `bytes` bytes of desired records; 0 if memory cannot grow. */
export function desiredRegion(bytes: u32): usize {
  // Growing must preserve earlier records.
  desired.length = desired.capacity;
  return desired.reserve(max(bytes, 1)) ? desired.base : 0;
}

/** Returns the address for the owners of the batch, a u32 each; 0 if memory cannot grow. */
export function ownersRegion(count: u32): usize {
  return batch.reserve(max(<u32>wordsBytes(count), 1)) ? batch.base : 0;
}

/**
 * Computes the operations for `bytes` bytes of desired records and `owners` owners. The records of
 * one owner are contiguous and in the order of the owners. Returns false, with nothing changed, if
 * memory cannot grow.
 */
export function diff(bytes: u32, owners: u32): bool {
  assert(bytes <= desired.capacity && <u32>wordsBytes(owners) <= batch.capacity);
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

/** Applies the last `diff` to the committed elements, because the kernel now has it. */
export function commit(): void {
  assert(committable);
  committable = false;
  const end = operationsPointer() + operationsBytes();
  let at = operationsPointer();
  while (at < end) {
    const table = tableOf(load<u8>(at, OP_TABLE));
    const owner = load<u32>(at, OP_OWNER);
    const key = at + OP_HEADER;
    const hash = hashKey(table, key);
    if (load<u8>(at, OP_KIND) == OP_ADD) {
      insert(table, owner, key, key + table.keySize, hash);
    } else {
      const element = find(table, key, hash);
      assert(element);
      const former = load<u32>(element, ELEMENT_OWNER);
      remove(table, element, hash);
      if (former != owner) ownerLostElement(former);
    }
    at = key + table.keySize + table.valueSize;
  }
  for (let index: u32 = 0; index < transferCount(); index++) {
    const element = transferElement(index);
    const former = load<u32>(element, ELEMENT_OWNER);
    unlink(element);
    link(element, transferOwner(index));
    ownerLostElement(former);
  }
  for (let index: u32 = 0; index < batchCount; index++) releaseOwnerIfUnused(batchOwner(index));
}

// Called if an owner lost an element to another owner. Owners in the batch may still gain elements,
// so they are released at the end.
function ownerLostElement(former: u32): void {
  if (former == OWNER_ADOPTED) return;
  for (let index: u32 = 0; index < batchCount; index++) {
    if (batchOwner(index) == former) return;
  }
  releaseOwnerIfUnused(former);
}

function batchOwner(index: u32): u32 {
  return load<u32>(word(batch.base, index));
}

/** Voids the last `diff`, because committed elements changed by other means. */
export function revokeCommit(): void {
  committable = false;
}

// Checks every mistake that the host could make, before anything is changed.
function validate(bytes: u32, owners: u32): void {
  const end = desired.base + bytes;
  let at = desired.base;
  let index: u32 = 0;
  for (let owner: u32 = 0; owner < owners; owner++) assert(isOwner(batchOwner(owner)));
  while (at < end) {
    assert(at + DESIRED_HEADER <= end);
    while (index < owners && batchOwner(index) != load<u32>(at, DESIRED_OWNER)) index++;
    assert(index < owners); // a record of an owner outside the batch, or out of order
    const table = tableOf(load<u8>(at, DESIRED_TABLE));
    const kind = load<u8>(at, DESIRED_KIND);
    assert(kind == kindOf(table));
    if (kind == DESIRED_SLOTS) {
      const span = spanOf(table, at + DESIRED_HEADER);
      at = span + SPAN_BYTES;
      assert(at <= end);
      validateSpan(span, table);
    } else if (kind == DESIRED_NUMBERS) {
      const everyone = tableOf(load<u8>(at, DESIRED_EVERYONE));
      const outside = tableOf(load<u8>(at, DESIRED_OUTSIDE));
      assert(everyone.flags & outside.flags & TABLE_NUMBERED);
      assert(frontendBytes(everyone) == numberedBytes(table, everyone));
      assert(frontendBytes(outside) == numberedBytes(table, outside));
      const spans = at + DESIRED_HEADER + frontendBytes(everyone);
      at = spans + 2 * SPAN_BYTES;
      assert(at <= end);
      validateSpan(spans, everyone);
      validateSpan(spans + SPAN_BYTES, outside);
    } else {
      at += DESIRED_HEADER + table.keySize + table.valueSize;
      assert(at <= end);
    }
  }
}

// Returns the kind of the table's desired records. An endpoint by its number has none of its own.
function kindOf(table: Table): u32 {
  assert(!(table.flags & TABLE_NUMBERED));
  if (table.flags & TABLE_SLOTS) return DESIRED_SLOTS;
  return table.flags & TABLE_NUMBERS ? DESIRED_NUMBERS : DESIRED_ELEMENT;
}

function validateSpan(span: usize, table: Table): void {
  const bytes = <u64>load<u32>(span, SPAN_COUNT) * table.valueSize;
  assert(<u64>load<u32>(span, SPAN_POINTER) + bytes <= (<u64>memory.size()) << 16);
}

// Returns the size of the frontend's part of a key, in a table of numbered endpoints.
function frontendBytes(numbered: Table): u32 {
  return numbered.keySize - ENDPOINT_NUMBER_BYTES;
}

// Returns the same size, according to the table of their numbers.
function numberedBytes(numbers: Table, numbered: Table): u32 {
  return numbers.keySize - numbered.valueSize;
}

function findAdditions(bytes: u32): bool {
  const end = desired.base + bytes;
  let at = desired.base;
  for (let index: u32 = 0; index < batchCount; index++) {
    const owner = batchOwner(index);
    while (at < end && load<u32>(at, DESIRED_OWNER) == owner) {
      const table = tableOf(load<u8>(at, DESIRED_TABLE));
      const key = at + DESIRED_HEADER;
      if (load<u8>(at, DESIRED_KIND) == DESIRED_SLOTS) {
        const span = spanOf(table, key);
        const count = load<u32>(span, SPAN_COUNT);
        if (!wantSlots(table, owner, key, load<u32>(span, SPAN_POINTER), count)) return false;
        at = span + SPAN_BYTES;
      } else if (load<u8>(at, DESIRED_KIND) == DESIRED_NUMBERS) {
        const everyone = tableOf(load<u8>(at, DESIRED_EVERYONE));
        const outside = tableOf(load<u8>(at, DESIRED_OUTSIDE));
        const spans = key + frontendBytes(everyone);
        if (!wantNumbers(table, owner, key, everyone, outside, spans)) return false;
        at = spans + 2 * SPAN_BYTES;
      } else {
        at = key + table.keySize + table.valueSize;
        if (!wantElement(table, owner, key)) return false;
      }
    }
    if (!endAdditions(index)) return false;
  }
  return true;
}

/** Returns the span of a DESIRED_SLOTS record, which follows the key without slot number. */
function spanOf(table: Table, key: usize): usize {
  return key + table.keySize - SLOT_NUMBER_BYTES;
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
