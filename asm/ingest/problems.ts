// Stores problems of objects until the host takes them. Remembers which objects have problems, so
// that the host learns when they are resolved or gone. Also defines the outcomes of decoding.

import {
  PROBLEM_ALIGN,
  PROBLEM_HEADER,
  PROBLEM_INDEX,
  PROBLEM_KIND,
  PROBLEM_NAME_LENGTH,
  PROBLEM_RULE,
  PROBLEM_VALUE_LENGTH,
  PROBLEM_VALUE_MAX,
  PROBLEMS_PER_OBJECT,
  RULE_RESOLVED,
} from "../layout/problem";
import { KIND_SERVICE } from "../layout/stream";
import { allocate, release, resize } from "../memory/heap";
import { NAME_NONE, nameDrop, nameFind, nameHold, nameLength, nameText } from "../memory/names";
import {
  slotItem,
  TABLE_BYTES,
  tableCount,
  tableFirst,
  tableNext,
  tableRemove,
  tableReserve,
  tableSet,
  tableSlot,
  tableSlots,
} from "../memory/table";

/** Further unread problems are dropped, because the host has stopped reading. */
const REGION_MAX: usize = 0x40_0000;
const REGION_MIN: usize = 1024;

// Record FAULTY, FAULTY_BYTES = 8 bytes: an object with problems
//    0 u32 KEY: name id << 1 | kind is slice    4 u32 EPOCH: in which it was last fed
const FAULTY_KEY: usize = 0;
const FAULTY_EPOCH: usize = 4;
const FAULTY_BYTES: usize = 8;

// Outcomes of decoding an object.
/** The builder holds a complete block. */
export const DECODED: i32 = 1;
/**
 * The object is not for us (headless, another proxy's, a type without a Service); treated as
 * deleted.
 */
export const ABSENT: i32 = 2;
/** The object is unusable, and a problem was reported. The tables keep their current state. */
export const REFUSED: i32 = 3;
/** Memory cannot grow. */
export const NO_MEMORY: i32 = -1;

/** More than an int32 needs, which is ten digits and a sign. */
const DIGITS_MAX: usize = 16;

const faultyObjects: usize = memory.data(TABLE_BYTES);
const digits: usize = memory.data(DIGITS_MAX);
let region: usize = 0;
let size: usize = 0;
let length: usize = 0;

let kind: u32 = 0;
let nameAt: usize = 0;
let nameBytes: usize = 0;
let reportedCount: i32 = 0;
let epoch: u32 = 0;

/**
 * Sets the subject of all following problems: `namespace/name`, or nothing if the object has no
 * readable name.
 */
export function openSubject(objectKind: i32, at: usize, bytes: usize, objectEpoch: u32): void {
  kind = objectKind;
  nameAt = at;
  nameBytes = bytes;
  epoch = objectEpoch;
  reportedCount = 0;
  if (!tableCount(faultyObjects)) return;
  const slot = findFaulty();
  if (slot) store<u32>(slotItem(slot), objectEpoch, FAULTY_EPOCH);
}

/** Voids the subject's problems, because it is decoded again or is gone. */
export function resolveProblems(): void {
  if (!tableCount(faultyObjects)) return;
  const slot = findFaulty();
  if (slot) resolve(slot);
}

/**
 * Reports a problem of the subject. `index` is the entry's index in the offending list; 0 if there
 * is no list.
 */
export function problem(rule: i32, index: u32, valueAt: usize, valueLength: usize): void {
  if (reportedCount++ >= PROBLEMS_PER_OBJECT) return;
  append(rule, index, valueAt, valueLength);
  if (nameBytes) addFaulty();
}

/** Reports why an object is refused; such a rule has no value. */
export function refuse(rule: i32, index: u32 = 0): i32 {
  problem(rule, index, 0, 0);
  return REFUSED;
}

/** @see problem */
export function problemNumber(rule: i32, index: u32, value: i64): void {
  let rest: u64 = value < 0 ? 0 - <u64>value : <u64>value;
  let at = digits + DIGITS_MAX;
  do {
    store<u8>(--at, 0x30 + <u8>(rest % 10));
    rest /= 10;
  } while (rest && at > digits + 1);
  if (value < 0) store<u8>(--at, 0x2d);
  problem(rule, index, at, digits + DIGITS_MAX - at);
}

/**
 * Voids the problems of all objects of this kind that were not fed in this epoch, because they are
 * gone.
 */
export function sweepProblems(objectKind: i32, current: u32): void {
  for (let i: u32 = 0; i < tableSlots(faultyObjects); ) {
    const slot = tableSlot(faultyObjects, i);
    const faulty: usize = slotItem(slot);
    if (
      !faulty ||
      load<u32>(faulty, FAULTY_EPOCH) == current ||
      kindOfKey(load<u32>(faulty, FAULTY_KEY)) != objectKind
    ) {
      i++;
      continue;
    }
    const name = load<u32>(faulty, FAULTY_KEY) >> 1;
    kind = objectKind;
    nameAt = nameText(name);
    nameBytes = nameLength(name);
    resolve(slot);
  }
}

/** Size of the problems that the host has not taken yet. */
export function problemBytes(): usize {
  return length;
}

export function problemRegion(): usize {
  return region;
}

/** Call this after the host has read them. */
export function clearProblems(): void {
  release(region, size);
  region = 0;
  size = 0;
  length = 0;
}

function append(rule: i32, index: u32, valueAt: usize, valueLength: usize): void {
  const cut = min<usize>(valueLength, PROBLEM_VALUE_MAX);
  const bytes = (PROBLEM_HEADER + nameBytes + cut + PROBLEM_ALIGN - 1) & ~(PROBLEM_ALIGN - 1);
  if (length + bytes > size && !growRegion(bytes)) return;
  const at = region + length;
  memory.fill(at, 0, PROBLEM_HEADER);
  store<u8>(at, kind, PROBLEM_KIND);
  store<u8>(at, rule, PROBLEM_RULE);
  store<u16>(at, nameBytes, PROBLEM_NAME_LENGTH);
  store<u16>(at, cut, PROBLEM_VALUE_LENGTH);
  store<u32>(at, index, PROBLEM_INDEX);
  memory.copy(at + PROBLEM_HEADER, nameAt, nameBytes);
  memory.copy(at + PROBLEM_HEADER + nameBytes, valueAt, cut);
  length += bytes;
}

function growRegion(bytes: usize): bool {
  const wanted = max(REGION_MIN, max(size << 1, length + bytes));
  if (wanted > REGION_MAX) return false;
  const moved = region ? resize(region, size, wanted) : allocate(wanted);
  if (!moved) return false;
  region = moved;
  size = wanted;
  return true;
}

function kindOfKey(key: u32): i32 {
  return KIND_SERVICE + (key & 1);
}

function hashOfKey(key: u32): u32 {
  return key * 0x9e3779b1;
}

/** Returns the slot of the subject; 0 if it has no problems. */
function findFaulty(): usize {
  const name = nameFind(nameAt, nameBytes);
  if (name == NAME_NONE || !name) return 0;
  return findByKey((name << 1) | (kind - KIND_SERVICE));
}

function findByKey(key: u32): usize {
  let slot = tableFirst(faultyObjects, hashOfKey(key));
  for (; slotItem(slot); slot = tableNext(faultyObjects, slot)) {
    if (load<u32>(slotItem(slot), FAULTY_KEY) == key) return slot;
  }
  return 0;
}

/** Without memory for this record, the problem is still reported, but its resolution is not. */
function addFaulty(): void {
  const name = nameHold(nameAt, nameBytes);
  if (name == NAME_NONE) return;
  const key = (name << 1) | (kind - KIND_SERVICE);
  const faulty: usize = findByKey(key) || !tableReserve(faultyObjects) ? 0 : allocate(FAULTY_BYTES);
  if (!faulty) {
    nameDrop(name);
    return;
  }
  store<u32>(faulty, key, FAULTY_KEY);
  store<u32>(faulty, epoch, FAULTY_EPOCH);
  let slot = tableFirst(faultyObjects, hashOfKey(key));
  while (slotItem(slot)) slot = tableNext(faultyObjects, slot);
  tableSet(faultyObjects, slot, hashOfKey(key), <u32>faulty);
}

function resolve(slot: usize): void {
  append(RULE_RESOLVED, 0, 0, 0);
  const faulty: usize = slotItem(slot);
  const name = load<u32>(faulty, FAULTY_KEY) >> 1;
  tableRemove(faultyObjects, slot);
  release(faulty, FAULTY_BYTES);
  nameDrop(name);
}
