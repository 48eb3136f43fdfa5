// Numbers the endpoints of a frontend with session affinity. The kernel remembers the number of a
// client's endpoint, and finds the endpoint by it as long as it serves. The committed elements are
// the only state. An endpoint keeps its number; a new one takes the lowest that no other has. While
// a frontend moves between owners, elements of both exist. So a number counts only if it leads to
// the endpoint.

import { SPAN_BYTES, SPAN_COUNT, SPAN_POINTER } from "../layout/choice";
import { ENDPOINT_NUMBER_BYTES } from "../layout/key";
import { sameBytes } from "../memory/bytes";
import { REGION_BYTES, region } from "../memory/region";
import { add, addedValue, isAdded, isMarked, keep, replace } from "./batch";
import { find, hashKey, KEY_MAX, Table, valueOf } from "./elements";

const key: usize = memory.data(KEY_MAX);
const numberKey: usize = memory.data(KEY_MAX);
const number: usize = memory.data(ENDPOINT_NUMBER_BYTES);
/** A byte for each number from 0: 1 if an endpoint has it. */
const taken = region(memory.data(REGION_BYTES));
let lowest: u32 = 0;
// The tables of the call.
let byEveryone: Table = changetype<Table>(0);
let byOutside: Table = changetype<Table>(0);

/**
 * Wants a number in `numbers` for each endpoint of two lists. Also wants each endpoint by its
 * number: the first list in the table `everyone`, the second one in `outside`. `frontend` points to
 * the frontend's part of the key, and `spans` to the two SPAN records. Returns false if memory
 * cannot grow.
 */
export function wantNumbers(
  numbers: Table,
  owner: u32,
  frontend: usize,
  everyone: Table,
  outside: Table,
  spans: usize,
): bool {
  // Number 0 means that the kernel remembers none.
  const size = load<u32>(spans, SPAN_COUNT) + load<u32>(spans + SPAN_BYTES, SPAN_COUNT) + 1;
  taken.length = 0;
  if (!taken.extend(size)) return false;
  memory.fill(taken.base, 0, size);
  store<u8>(taken.base, 1);
  lowest = 0;
  byEveryone = everyone;
  byOutside = outside;
  const second = spans + SPAN_BYTES;
  takeNumbers(numbers, frontend, everyone, spans);
  takeNumbers(numbers, frontend, outside, second);
  return (
    wantList(numbers, owner, frontend, everyone, spans) &&
    wantList(numbers, owner, frontend, outside, second)
  );
}

function takeNumbers(numbers: Table, frontend: usize, table: Table, span: usize): void {
  let endpoint: usize = load<u32>(span, SPAN_POINTER);
  for (let left = load<u32>(span, SPAN_COUNT); left; left--) {
    const element = find(numbers, key, hashEndpoint(numbers, frontend, endpoint, table.valueSize));
    if (element) {
      const known = load<u32>(valueOf(numbers, element));
      if (known < taken.length && leads(frontend, known, endpoint)) {
        store<u8>(taken.base + known, 1);
      }
    }
    endpoint += table.valueSize;
  }
}

function wantList(numbers: Table, owner: u32, frontend: usize, table: Table, span: usize): bool {
  let endpoint: usize = load<u32>(span, SPAN_POINTER);
  for (let left = load<u32>(span, SPAN_COUNT); left; left--) {
    const hash = hashEndpoint(numbers, frontend, endpoint, table.valueSize);
    if (!wantNumber(numbers, owner, frontend, endpoint, hash)) return false;
    if (!wantEndpoint(table, owner, frontend, endpoint)) return false;
    endpoint += table.valueSize;
  }
  return true;
}

// Reports whether the number leads to the endpoint, in the table that every source uses. It lacks
// an endpoint that only outside sources use.
function leads(frontend: usize, known: u32, endpoint: usize): bool {
  const element = numbered(byEveryone, frontend, known) || numbered(byOutside, frontend, known);
  return element != 0 && sameBytes(element, endpoint, byEveryone.valueSize);
}

// Returns the endpoint with this number; 0 if there is none.
function numbered(table: Table, frontend: usize, known: u32): usize {
  writeNumberKey(table, numberKey, frontend, known);
  const element = find(table, numberKey, hashKey(table, numberKey));
  return element ? valueOf(table, element) : 0;
}

// Wants the element at `key` of the table of numbers, and leaves its number in `number`.
function wantNumber(numbers: Table, owner: u32, frontend: usize, endpoint: usize, hash: u32): bool {
  const added = addedValue(numbers, key, hash);
  if (added) {
    store<u32>(number, load<u32>(added));
    return true;
  }
  const element = find(numbers, key, hash);
  if (element) {
    const known = load<u32>(valueOf(numbers, element));
    store<u32>(number, known);
    if (isMarked(element)) return true;
    if (leads(frontend, known, endpoint)) return keep(numbers, element, owner, key, number);
  }
  while (load<u8>(taken.base + lowest)) lowest++;
  store<u8>(taken.base + lowest, 1);
  const same = element != 0 && load<u32>(number) == lowest;
  store<u32>(number, lowest);
  if (same) return keep(numbers, element, owner, key, number);
  return element
    ? replace(numbers, element, owner, key, number, hash)
    : add(numbers, owner, key, number, hash, true);
}

// An endpoint may be in the list twice.
function wantEndpoint(table: Table, owner: u32, frontend: usize, endpoint: usize): bool {
  writeNumberKey(table, key, frontend, load<u32>(number));
  const hash = hashKey(table, key);
  const element = find(table, key, hash);
  if (element) return isMarked(element) || keep(table, element, owner, key, endpoint);
  return isAdded(table, key, hash) || add(table, owner, key, endpoint, hash, true);
}

function writeNumberKey(table: Table, at: usize, frontend: usize, value: u32): void {
  const frontendBytes = table.keySize - ENDPOINT_NUMBER_BYTES;
  memory.copy(at, frontend, frontendBytes);
  store<u32>(at + frontendBytes, value);
}

// Writes the key of an endpoint's number, and returns its hash.
function hashEndpoint(numbers: Table, frontend: usize, endpoint: usize, bytes: u32): u32 {
  const frontendBytes = numbers.keySize - bytes;
  memory.copy(key, frontend, frontendBytes);
  memory.copy(key + frontendBytes, endpoint, bytes);
  return hashKey(numbers, key);
}
