// An EndpointSlice message (k8s.io/api discovery/v1) → a slice block (slices.ts) in the builder.

import {
  dropHints,
  HINT_NODES,
  HINT_THIS_NODE,
  HINT_ZONES,
  hintFlags,
  holdHints,
  recallHints,
  rememberHints,
} from "../cluster/hints";
import { isThisNode } from "../cluster/node";
import { protocolOf } from "../cluster/protocols";
import {
  ENDPOINT_LOCAL,
  ENDPOINT_READY,
  ENDPOINT_SERVING,
  ENDPOINT_TERMINATING,
  endpointStride,
  releaseSliceRefs,
  SLICE_FLAG_ZONES,
  SLICE_HEADER,
  SLICE_PORT,
} from "../cluster/slices";
import {
  PROBLEM_ADDRESS_TYPE,
  PROBLEM_ENDPOINT_ADDRESS,
  PROBLEM_ENDPOINT_PORT,
  PROBLEM_ENDPOINT_PROTOCOL,
  PROBLEM_MALFORMED,
  PROBLEM_SERVICE_LABEL,
  PROBLEM_TOO_MANY,
} from "../layout/layout";
import { build, buildStart, built, builtLength } from "../memory/builder";
import { copy16, isText, sameBytes } from "../memory/bytes";
import { NAME_NONE, nameDrop, nameHold } from "../memory/names";
import {
  composeServiceKey,
  META_HEADLESS,
  metaFlags,
  metaServiceAt,
  metaServiceLength,
} from "./meta";
import { ABSENT, DECODED, NO_MEMORY, refuse } from "./outcome";
import { problem, problemNumber } from "./problems";
import {
  broken,
  bytesAt,
  bytesLength,
  enterBytes,
  enterMessage,
  LIST_MAX,
  leaveMessage,
  more,
  noBytes,
  openMessage,
  readBytes,
  readInt,
  readTag,
  readVarint,
  skipField,
} from "./protobuf";
import { parseAddress, parsedAddress, parsedFamily } from "./text";

/** Zones of one endpoint that are looked at: the API server allows 8. */
const ZONES_MAX: u32 = 64;

const zones: usize = memory.data(64 * 4);
let zoneCount: u32 = 0;
let nodeFlags: u32 = 0;
/** What `readHints` read; 0 = nothing in it. */
let readSet: usize = 0;

/**
 * Decodes a slice whose metadata has been read; `typeAt` is its addressType. When DECODED, names and hints in
 * the block are held, and `serviceKey` (meta.ts) is set.
 */
export function decodeSlice(at: usize, length: usize, typeAt: usize, typeLength: usize): i32 {
  if (metaFlags & META_HEADLESS) return ABSENT;
  const family: u32 = isText(typeAt, typeLength, "IPv4")
    ? 4
    : isText(typeAt, typeLength, "IPv6")
      ? 6
      : 0;
  if (!family) {
    problem(PROBLEM_ADDRESS_TYPE, 0, typeAt, typeLength);
    return ABSENT;
  }
  if (!composeServiceKey()) {
    problem(PROBLEM_SERVICE_LABEL, 0, metaServiceAt, metaServiceLength);
    return ABSENT;
  }
  buildStart();
  const header = build(SLICE_HEADER);
  if (!header) return NO_MEMORY;
  store<u8>(header, family, 32);
  let outcome = buildPorts(at, length);
  if (outcome == DECODED) outcome = buildEndpoints(at, length, family);
  if (outcome != DECODED) discardSlice();
  else store<u32>(built(), builtLength(), 24);
  return outcome;
}

/** Lets go of what the block in the builder holds. */
export function discardSlice(): void {
  releaseSliceRefs(built());
}

function buildPorts(at: usize, length: usize): i32 {
  let index: u32 = 0;
  openMessage(at, length);
  while (more()) {
    if (readTag() != ((3 << 3) | 2)) {
      skipField();
      continue;
    }
    if (index == LIST_MAX) return refuse(PROBLEM_TOO_MANY, 4);
    const outcome = buildPort(index++);
    if (outcome != DECODED) return outcome;
  }
  return broken() ? refuse(PROBLEM_MALFORMED) : DECODED;
}

/** A port without a number (or 0) or without a name is no port to forward to: kube-proxy passes over it as well. */
function buildPort(index: u32): i32 {
  let named = false;
  let nameAt: usize = 0;
  let nameLength: usize = 0;
  let protocolAt: usize = 0;
  let protocolLength: usize = 0;
  let port = 0;
  const outer = enterMessage();
  while (more()) {
    switch (readTag()) {
      case (1 << 3) | 2:
        readBytes();
        named = true;
        nameAt = bytesAt;
        nameLength = bytesLength;
        break;
      case (2 << 3) | 2:
        readBytes();
        protocolAt = bytesAt;
        protocolLength = bytesLength;
        break;
      case (3 << 3) | 0:
        port = readInt();
        break;
      default:
        skipField();
    }
  }
  leaveMessage(outer);
  if (broken() || !named || !port) return DECODED;
  const protocol = protocolOf(protocolAt, protocolLength);
  if (!protocol) {
    problem(PROBLEM_ENDPOINT_PROTOCOL, index, protocolAt, protocolLength);
    return DECODED;
  }
  if (port < 0 || port > 0xffff) {
    problemNumber(PROBLEM_ENDPOINT_PORT, index, port);
    return DECODED;
  }
  const name = nameHold(nameAt, nameLength);
  if (name == NAME_NONE) return NO_MEMORY;
  const row = build(SLICE_PORT);
  if (!row) {
    nameDrop(name);
    return NO_MEMORY;
  }
  store<u32>(row, name);
  store<u16>(row, port, 4);
  store<u8>(row, protocol, 6);
  store<u16>(built(), load<u16>(built(), 34) + 1, 34);
  return DECODED;
}

function buildEndpoints(at: usize, length: usize, family: u32): i32 {
  let index: u32 = 0;
  openMessage(at, length);
  while (more()) {
    if (readTag() != ((2 << 3) | 2)) {
      skipField();
      continue;
    }
    if (!buildEndpoint(index++, family)) return NO_MEMORY;
  }
  return broken() ? refuse(PROBLEM_MALFORMED) : DECODED;
}

/** False if memory cannot grow. */
function buildEndpoint(index: u32, family: u32): bool {
  let addresses: u32 = 0;
  let addressAt: usize = 0;
  let addressLength: usize = 0;
  let hints: usize = 0;
  let flags = ENDPOINT_READY | ENDPOINT_SERVING;
  const outer = enterMessage();
  while (more()) {
    switch (readTag()) {
      case (1 << 3) | 2: // addresses
        readBytes();
        if (!addresses++) {
          addressAt = bytesAt;
          addressLength = bytesLength;
        }
        break;
      case (2 << 3) | 2: // conditions
        flags = (flags & ENDPOINT_LOCAL) | readConditions();
        break;
      case (6 << 3) | 2: // nodeName
        readBytes();
        if (isThisNode(bytesAt, bytesLength)) flags |= ENDPOINT_LOCAL;
        break;
      case (8 << 3) | 2: // hints
        dropHints(hints);
        if (!readHints()) return false;
        hints = readSet;
        break;
      default:
        skipField();
    }
  }
  leaveMessage(outer);
  if (broken()) {
    dropHints(hints);
    return true;
  }
  if (!parseAddress(addressAt, addressLength) || parsedFamily != family) {
    dropHints(hints);
    problem(PROBLEM_ENDPOINT_ADDRESS, index, addressAt, addressLength);
    return true;
  }
  const row = build(endpointStride(family));
  if (!row) {
    dropHints(hints);
    return false;
  }
  const block = built();
  store<u32>(row, hints);
  store<u32>(row, flags, 4);
  if (family == 4) store<u32>(row, load<u32>(parsedAddress), 8);
  else copy16(row + 8, parsedAddress);
  store<u32>(block, load<u32>(block, 36) + 1, 36);
  if (hintFlags(hints) & HINT_ZONES) store<u8>(block, load<u8>(block, 33) | SLICE_FLAG_ZONES, 33);
  return true;
}

/** A condition that is absent: ready and serving are true, terminating is false. */
function readConditions(): u32 {
  let flags = ENDPOINT_READY | ENDPOINT_SERVING;
  const outer = enterMessage();
  while (more()) {
    const tag = readTag();
    const flag: u32 =
      tag == ((1 << 3) | 0)
        ? ENDPOINT_READY
        : tag == ((2 << 3) | 0)
          ? ENDPOINT_SERVING
          : tag == ((3 << 3) | 0)
            ? ENDPOINT_TERMINATING
            : 0;
    if (!flag) skipField();
    else if (readVarint()) flags |= flag;
    else flags &= ~flag;
  }
  leaveMessage(outer);
  return flags;
}

/** EndpointHints { 1: forZones[] { 1: name }, 2: forNodes[] { 1: name } }, into `readSet`, held. False if memory cannot grow. */
function readHints(): bool {
  readBytes();
  const from = bytesAt;
  const length = bytesLength;
  readSet = recallHints(from, length);
  if (readSet) return true;
  zoneCount = 0;
  nodeFlags = 0;
  let enough = true;
  const outer = enterBytes();
  while (enough && more()) {
    const tag = readTag();
    if (tag == ((1 << 3) | 2)) {
      readHintName();
      enough = addZone();
    } else if (tag == ((2 << 3) | 2)) {
      readHintName();
      nodeFlags |= HINT_NODES;
      if (isThisNode(bytesAt, bytesLength)) nodeFlags |= HINT_THIS_NODE;
    } else skipField();
  }
  leaveMessage(outer);
  if (enough) readSet = holdHints(zones, zoneCount, nodeFlags);
  for (let i: u32 = 0; i < zoneCount; i++) nameDrop(load<u32>(zones + ((<usize>i) << 2)));
  if (!readSet) return enough && !zoneCount && !nodeFlags;
  if (!broken()) rememberHints(from, length, readSet);
  return true;
}

/** ForZone and ForNode { 1: name }, into `bytesAt`, empty if there is none. */
function readHintName(): void {
  const outer = enterMessage();
  noBytes();
  while (more()) {
    if (readTag() == ((1 << 3) | 2)) readBytes();
    else skipField();
  }
  leaveMessage(outer);
}

/** Puts a zone in its place among those of this endpoint. False if memory cannot grow. */
function addZone(): bool {
  if (zoneCount == ZONES_MAX) return true;
  const name = nameHold(bytesAt, bytesLength);
  if (name == NAME_NONE) return false;
  let place = zoneCount;
  while (place && load<u32>(zones + ((<usize>(place - 1)) << 2)) > name) place--;
  const at = zones + ((<usize>place) << 2);
  if (place && load<u32>(at - 4) == name) {
    nameDrop(name);
    return true;
  }
  memory.copy(at + 4, at, (<usize>(zoneCount - place)) << 2);
  store<u32>(at, name);
  zoneCount++;
  return true;
}
