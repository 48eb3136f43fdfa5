// Collects the operations of one diff. Pass 1 finds additions and pass 2 finds deletions of
// unwanted elements, both owner by owner. `joinOperations` then merges the two parts of each owner.

import { OP_ADD, OP_DELETE, OP_HEADER, OP_KIND, OP_OWNER } from "../layout/operation";
import { REGION_BYTES, Region, region } from "../memory/region";
import { ELEMENT_KEY } from "./element-record";
import { Table, valueOf } from "./elements";

// Record PART, PART_STRIDE = 8 bytes: where the operations of an owner of the batch end
//    0 u32 WANTED: among the additions    4 u32 UNWANTED: among the deletions
const PART_WANTED: usize = 0;
const PART_UNWANTED: usize = 4;
const PART_STRIDE: u32 = 8;

const wanted = region(memory.data(REGION_BYTES));
const unwanted = region(memory.data(REGION_BYTES));
const joined = region(memory.data(REGION_BYTES));
/** A PART record for each owner of the batch. */
const parts = region(memory.data(REGION_BYTES));
let result = wanted;
let count: u32 = 0;

export function clearOperations(): void {
  wanted.clear();
  unwanted.clear();
  joined.clear();
  parts.clear();
  result = wanted;
  count = 0;
}

/** Offset, among the additions, of the next operation that `addOperation` will write. */
export function nextAddition(): u32 {
  return wanted.length;
}

export function additionAt(offset: u32): usize {
  return wanted.base + offset;
}

export function addOperation(table: Table, owner: u32, key: usize, value: usize): bool {
  return write(wanted, OP_ADD, table, owner, key, value);
}

/** Deletes the element; an addition with the same key follows. */
export function replaceOperation(table: Table, owner: u32, element: usize): bool {
  return write(wanted, OP_DELETE, table, owner, element + ELEMENT_KEY, valueOf(table, element));
}

export function deleteOperation(table: Table, owner: u32, element: usize): bool {
  return write(unwanted, OP_DELETE, table, owner, element + ELEMENT_KEY, valueOf(table, element));
}

/** Marks the additions of the batch's owner number `index` as complete. */
export function endAdditions(index: u32): bool {
  if (!parts.reserve((index + 1) * PART_STRIDE)) return false;
  store<u32>(partAt(index), wanted.length, PART_WANTED);
  parts.length = (index + 1) * PART_STRIDE;
  return true;
}

export function endDeletions(index: u32): void {
  store<u32>(partAt(index), unwanted.length, PART_UNWANTED);
}

function partAt(index: u32): usize {
  return parts.base + index * PART_STRIDE;
}

/**
 * Joins both lists into one region, in the order of the owners. Returns false if memory cannot
 * grow.
 */
export function joinOperations(owners: u32): bool {
  result = wanted;
  if (!unwanted.length) return true;
  result = unwanted;
  if (!wanted.length) return true;
  result = joined;
  if (!joined.reserve(wanted.length + unwanted.length)) return false;
  let to = joined.base;
  let added: u32 = 0;
  let deleted: u32 = 0;
  for (let index: u32 = 0; index < owners; index++) {
    const additions = load<u32>(partAt(index), PART_WANTED);
    const deletions = load<u32>(partAt(index), PART_UNWANTED);
    memory.copy(to, wanted.base + added, additions - added);
    to += additions - added;
    memory.copy(to, unwanted.base + deleted, deletions - deleted);
    to += deletions - deleted;
    added = additions;
    deleted = deletions;
  }
  joined.length = wanted.length + unwanted.length;
  return true;
}

export function operationsPointer(): usize {
  return result.base;
}

export function operationsBytes(): u32 {
  return result.length;
}

export function operationsCount(): u32 {
  return count;
}

function write(to: Region, kind: u32, table: Table, owner: u32, key: usize, value: usize): bool {
  const size = OP_HEADER + table.keySize + table.valueSize;
  const at = to.extend(size);
  if (!at) return false;
  // Kind, table and padding are written as one word, because this runs once for each operation.
  store<u32>(at, kind | (table.id << 8), OP_KIND);
  store<u32>(at, owner, OP_OWNER);
  memory.copy(at + OP_HEADER, key, table.keySize);
  memory.copy(at + OP_HEADER + table.keySize, value, table.valueSize);
  count++;
  return true;
}
