// Selects the endpoints that receive a Service's traffic, as kube-proxy's CategorizeEndpoints does.
// The rules come from KEP-1669 (terminating endpoints), KEP-2433 and KEP-3015 (hints) and KEP-2086
// (Local policies).
//
// Each port and family has two lists. Traffic that may go anywhere in the cluster uses the first
// one. Traffic that must stay on this node uses the second one.

import {
  firstSlice,
  isService,
  serviceBlock,
  servicePortCount,
  servicePorts,
} from "../cluster/services";
import {
  nextSlice,
  portName,
  portNumber,
  portProtocol,
  sliceFamily,
  slicePort,
  slicePortCount,
} from "../cluster/slices";
import {
  CHOICE_CLUSTER,
  CHOICE_FAMILY,
  CHOICE_FLAG_SERVES_UNSELECTED,
  CHOICE_FLAG_USABLE,
  CHOICE_FLAGS,
  CHOICE_LOCAL,
  CHOICE_PORT_INDEX,
  CHOICE_READY_LOCAL,
  CHOICE_SERVICE,
  CHOICE_STRIDE,
  ENDPOINT4_IP,
  ENDPOINT4_PORT,
  ENDPOINT4_STRIDE,
  ENDPOINT6_IP,
  ENDPOINT6_PORT,
  ENDPOINT6_STRIDE,
  SPAN_COUNT,
  SPAN_POINTER,
} from "../layout/choice";
import { PORT_NAME, PORT_PROTOCOL, PORT_STRIDE } from "../layout/service";
import { HALF, word, wordsBytes } from "../memory/bytes";
import { REGION_BYTES, Region, region } from "../memory/region";
import {
  gatherRows,
  hasTrait,
  mergeCopies,
  portOf,
  ROW_HIGH,
  ROW_LOW,
  ROW_STRIDE,
  ROW_TAIL,
  sameAddress,
  sortRows,
  TRAIT_LOCAL,
  TRAIT_NODES,
  TRAIT_NOT_TERMINATING,
  TRAIT_READY,
  TRAIT_SERVING,
  TRAIT_THIS_NODE,
  TRAIT_THIS_ZONE,
  TRAIT_ZONES,
} from "./rows";

/** Classes of endpoints: Ready, or terminating but still serving. */
const CLASS_READY: u32 = 1;
const CLASS_TERMINATING: u32 = 2;

/** Input: a u32 Service id each. Output: the number of choices up to and including this Service. */
const batch = region(memory.data(REGION_BYTES));
const choices = region(memory.data(REGION_BYTES));
/**
 * Targets of the choices' spans. Spans hold offsets until the batch is done, because this region
 * moves.
 */
const endpoints = region(memory.data(REGION_BYTES));
const rows = region(memory.data(REGION_BYTES));
const spare = region(memory.data(REGION_BYTES));
/** Ready local addresses of one Service and family, as rows with only the address set. */
const addresses = region(memory.data(REGION_BYTES));

/** Returns the address for the ids of `count` Services; 0 if memory cannot grow. */
export function selectRegion(count: u32): usize {
  return batch.reserve(max(<u32>wordsBytes(count), 1)) ? batch.base : 0;
}

/**
 * Selects endpoints for `count` Services. A Service that does not exist gets no choices. Returns
 * false if memory cannot grow.
 */
export function select(count: u32): bool {
  assert(<u32>wordsBytes(count) <= batch.capacity);
  choices.clear();
  endpoints.clear();
  rows.clear();
  spare.clear();
  addresses.clear();
  for (let index: u32 = 0; index < count; index++) {
    const at = word(batch.base, index);
    if (!selectService(load<u32>(at))) return false;
    store<u32>(at, choices.length / CHOICE_STRIDE);
  }
  const end = choices.base + choices.length;
  for (let choice = choices.base; choice < end; choice += CHOICE_STRIDE) {
    placeSpan(choice + CHOICE_CLUSTER);
    placeSpan(choice + CHOICE_LOCAL);
  }
  return true;
}

/** Turns the offset into `endpoints` into a pointer. */
function placeSpan(span: usize): void {
  store<u32>(span, load<u32>(span, SPAN_POINTER) + <u32>endpoints.base, SPAN_POINTER);
}

export function choicesPointer(): usize {
  return choices.base;
}

function selectService(id: u32): bool {
  const block = isService(id) ? serviceBlock(id) : 0;
  if (!block) return true;
  const from = choices.length;
  const ports = servicePortCount(block);
  if (!choices.extend(ports * 2 * CHOICE_STRIDE)) return ports == 0;
  for (let family: u32 = 4; family <= 6; family += 2) {
    addresses.length = 0;
    for (let index: u32 = 0; index < ports; index++) {
      const offset = from + (index * 2 + (family >> 1) - 2) * CHOICE_STRIDE;
      if (!selectPort(id, servicePorts(block) + index * PORT_STRIDE, family)) return false;
      const choice = choices.base + offset;
      store<u32>(choice, id, CHOICE_SERVICE);
      store<u16>(choice, index, CHOICE_PORT_INDEX);
      store<u8>(choice, family, CHOICE_FAMILY);
      if (!writeChoice(choice, family) || !gatherAddresses()) return false;
    }
    if (!sortRows(addresses, spare)) return false;
    const ready = distinctAddresses();
    for (let index: u32 = 0; index < ports; index++) {
      const offset = from + (index * 2 + (family >> 1) - 2) * CHOICE_STRIDE;
      store<u32>(choices.base + offset, ready, CHOICE_READY_LOCAL);
    }
  }
  return true;
}

// Collects the distinct, sorted endpoints of one port and family in `rows`. Ports match by name and
// protocol; the port number comes from the slice.
function selectPort(id: u32, port: usize, family: u32): bool {
  rows.length = 0;
  if (!gatherPort(rows, id, port, family) || !sortRows(rows, spare)) return false;
  mergeCopies(rows);
  return true;
}

/**
 * Appends a row for every endpoint that the Service's slices have for its port. Returns false if
 * memory cannot grow.
 */
export function gatherPort(into: Region, id: u32, port: usize, family: u32): bool {
  for (let slice = firstSlice(id); slice; slice = nextSlice(slice)) {
    if (sliceFamily(slice) != family) continue;
    for (let index: u32 = 0; index < slicePortCount(slice); index++) {
      const candidate = slicePort(slice, index);
      if (portName(candidate) != load<u32>(port, PORT_NAME)) continue;
      if (portProtocol(candidate) != load<u8>(port, PORT_PROTOCOL)) continue;
      if (!portNumber(candidate)) continue;
      if (!gatherRows(into, slice, family, portNumber(candidate))) return false;
    }
  }
  return true;
}

// Chooses among `rows`, with one pass over them and another for each list.
//
// For the cluster: Ready endpoints. If there are none, endpoints that serve while they terminate
// (KEP-1669), so that the last pods of a rollout are not cut off. Hints narrow the Ready endpoints
// under two conditions. All of them must have hints, because the others would get no traffic at
// all. Some must name this node or zone, because otherwise none would be left. Node hints take
// precedence over zone hints.
//
// For this node: the same classes, applied to this node's endpoints only, without hints. A node
// with only terminating endpoints must continue to serve external traffic even if other nodes have
// Ready ones (KEP-1669).
//
// CHOICE_FLAG_SERVES_UNSELECTED: some endpoint serves, is not Ready, and was not chosen for the
// cluster. It is either terminating, or not Ready for another reason. Its existing connections may
// continue, and new ones go elsewhere.
function writeChoice(choice: usize, family: u32): bool {
  const end = rows.base + rows.length;
  let everywhere: u32 = 0;
  let here: u32 = 0;
  let common: u32 = TRAIT_NODES | TRAIT_ZONES;
  let some: u32 = 0;
  let servingUnready: u32 = 0;
  for (let row = rows.base; row < end; row += ROW_STRIDE) {
    const kind = classOf(row);
    everywhere |= kind;
    if (hasTrait(row, TRAIT_SERVING) && !hasTrait(row, TRAIT_READY)) servingUnready++;
    if (hasTrait(row, TRAIT_LOCAL)) here |= kind;
    if (kind != CLASS_READY) continue;
    common &= load<u32>(row, ROW_TAIL);
    some |= load<u32>(row, ROW_TAIL);
  }
  let hinted: u32 = 0;
  if (common & TRAIT_NODES && some & TRAIT_THIS_NODE) hinted = TRAIT_THIS_NODE;
  else if (common & TRAIT_ZONES && some & TRAIT_THIS_ZONE) hinted = TRAIT_THIS_ZONE;

  const cluster = endpoints.length;
  if (!writeEndpoints(family, everywhere & CLASS_READY ? CLASS_READY : CLASS_TERMINATING, hinted))
    return false;
  const local = endpoints.length;
  if (!writeEndpoints(family, here & CLASS_READY ? CLASS_READY : CLASS_TERMINATING, TRAIT_LOCAL))
    return false;
  const stride: u32 = family == 4 ? ENDPOINT4_STRIDE : ENDPOINT6_STRIDE;
  const chosen = (local - cluster) / stride;
  store<u8>(
    choice,
    (everywhere ? CHOICE_FLAG_USABLE : 0) |
      (servingUnready > (everywhere & CLASS_READY ? 0 : chosen)
        ? CHOICE_FLAG_SERVES_UNSELECTED
        : 0),
    CHOICE_FLAGS,
  );
  writeSpan(choice + CHOICE_CLUSTER, cluster, chosen);
  writeSpan(choice + CHOICE_LOCAL, local, (endpoints.length - local) / stride);
  return true;
}

function writeSpan(span: usize, offset: u32, count: u32): void {
  store<u32>(span, offset, SPAN_POINTER);
  store<u32>(span, count, SPAN_COUNT);
}

// Appends the endpoints of a class; if `trait` is not 0, only those with the trait. Terminating
// endpoints ignore hints: a distant endpoint is better than none.
function writeEndpoints(family: u32, kind: u32, trait: u32): bool {
  const end = rows.base + rows.length;
  for (let row = rows.base; row < end; row += ROW_STRIDE) {
    if (classOf(row) != kind || (trait && !hasTrait(row, trait))) continue;
    const to = endpoints.extend(family == 4 ? ENDPOINT4_STRIDE : ENDPOINT6_STRIDE);
    if (!to) return false;
    if (family == 4) {
      store<u32>(to, bswap<u32>(<u32>load<u64>(row, ROW_LOW)), ENDPOINT4_IP);
      store<u32>(to, bswap<u16>(<u16>portOf(row)), ENDPOINT4_PORT);
    } else {
      store<u64>(to, bswap<u64>(load<u64>(row, ROW_HIGH)), ENDPOINT6_IP);
      store<u64>(to, bswap<u64>(load<u64>(row, ROW_LOW)), ENDPOINT6_IP + HALF);
      store<u32>(to, bswap<u16>(<u16>portOf(row)), ENDPOINT6_PORT);
    }
  }
  return true;
}

function classOf(row: usize): u32 {
  if (hasTrait(row, TRAIT_READY)) return CLASS_READY;
  return hasTrait(row, TRAIT_SERVING) && !hasTrait(row, TRAIT_NOT_TERMINATING)
    ? CLASS_TERMINATING
    : 0;
}

function gatherAddresses(): bool {
  const end = rows.base + rows.length;
  for (let row = rows.base; row < end; row += ROW_STRIDE) {
    if (classOf(row) != CLASS_READY || !hasTrait(row, TRAIT_LOCAL)) continue;
    const to = addresses.extend(ROW_STRIDE);
    if (!to) return false;
    memory.copy(to, row, ROW_STRIDE);
    store<u64>(to, 0, ROW_TAIL);
  }
  return true;
}

function distinctAddresses(): u32 {
  const end = addresses.base + addresses.length;
  let count: u32 = 0;
  for (let row = addresses.base; row < end; row += ROW_STRIDE) {
    if (row == addresses.base || !sameAddress(row, row - ROW_STRIDE)) count++;
  }
  return count;
}
