// Decodes an EndpointSlice message (discovery/v1) into a SLICE block (layout/slice.ts) in the
// builder.

import { dropHints, hintFlags, holdHints, recallHints, rememberHints } from "../cluster/hint-sets";
import { isThisNode } from "../cluster/node";
import {
  endpointStride,
  releaseSliceRefs,
  sliceEndpointCount,
  slicePortCount,
} from "../cluster/slices";
import {
  FIELD_CONDITION_READY,
  FIELD_CONDITION_SERVING,
  FIELD_CONDITION_TERMINATING,
  FIELD_ENDPOINT_ADDRESSES,
  FIELD_ENDPOINT_CONDITIONS,
  FIELD_ENDPOINT_HINTS,
  FIELD_ENDPOINT_NODE_NAME,
  FIELD_HINT_NAME,
  FIELD_HINTS_FOR_NODES,
  FIELD_HINTS_FOR_ZONES,
  FIELD_SLICE_ENDPOINTS,
  FIELD_SLICE_PORTS,
  WIRE_BITS,
  WIRE_BYTES,
  WIRE_VARINT,
} from "../layout/fields";
import {
  LIST_PORTS,
  RULE_ADDRESS_TYPE,
  RULE_ENDPOINT_ADDRESS,
  RULE_ENDPOINT_PORT,
  RULE_ENDPOINT_PROTOCOL,
  RULE_MALFORMED,
  RULE_SERVICE_LABEL,
  RULE_TOO_MANY,
} from "../layout/problem";
import {
  ENDPOINT_FLAGS,
  ENDPOINT_HINTS,
  ENDPOINT_IP,
  ENDPOINT_LOCAL,
  ENDPOINT_READY,
  ENDPOINT_SERVING,
  ENDPOINT_TERMINATING,
  HINT_NODES,
  HINT_THIS_NODE,
  HINT_ZONES,
  SLICE_ENDPOINTS,
  SLICE_FAMILY,
  SLICE_FLAG_ZONES,
  SLICE_FLAGS,
  SLICE_HEADER,
  SLICE_PORT_NAME,
  SLICE_PORT_NUMBER,
  SLICE_PORT_PROTOCOL,
  SLICE_PORT_STRIDE,
  SLICE_PORTS,
  SLICE_SIZE,
} from "../layout/slice";
import { build, buildStart, built, builtLength } from "../memory/builder";
import { copy16, isText, word, wordsBytes } from "../memory/bytes";
import { NAME_NONE, nameDrop, nameHold } from "../memory/names";
import {
  composeServiceKey,
  META_HEADLESS,
  metaFlags,
  metaServiceAt,
  metaServiceLength,
} from "./meta";
import {
  hasPortName,
  portNameAt,
  portNameLength,
  portNumber,
  portProtocol,
  portProtocolAt,
  portProtocolLength,
  readPort,
} from "./port-message";
import { ABSENT, DECODED, NO_MEMORY, problem, problemNumber, refuse } from "./problems";
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
  readTag,
  readVarint,
  skipField,
} from "./protobuf";
import { parseAddress, parsedAddress, parsedFamily } from "./text";

const TAG_SLICE_ENDPOINTS: u32 = (FIELD_SLICE_ENDPOINTS << WIRE_BITS) | WIRE_BYTES;
const TAG_SLICE_PORTS: u32 = (FIELD_SLICE_PORTS << WIRE_BITS) | WIRE_BYTES;
const TAG_ENDPOINT_ADDRESSES: u32 = (FIELD_ENDPOINT_ADDRESSES << WIRE_BITS) | WIRE_BYTES;
const TAG_ENDPOINT_CONDITIONS: u32 = (FIELD_ENDPOINT_CONDITIONS << WIRE_BITS) | WIRE_BYTES;
const TAG_ENDPOINT_NODE_NAME: u32 = (FIELD_ENDPOINT_NODE_NAME << WIRE_BITS) | WIRE_BYTES;
const TAG_ENDPOINT_HINTS: u32 = (FIELD_ENDPOINT_HINTS << WIRE_BITS) | WIRE_BYTES;
const TAG_CONDITION_READY: u32 = (FIELD_CONDITION_READY << WIRE_BITS) | WIRE_VARINT;
const TAG_CONDITION_SERVING: u32 = (FIELD_CONDITION_SERVING << WIRE_BITS) | WIRE_VARINT;
const TAG_CONDITION_TERMINATING: u32 = (FIELD_CONDITION_TERMINATING << WIRE_BITS) | WIRE_VARINT;
const TAG_HINTS_FOR_ZONES: u32 = (FIELD_HINTS_FOR_ZONES << WIRE_BITS) | WIRE_BYTES;
const TAG_HINTS_FOR_NODES: u32 = (FIELD_HINTS_FOR_NODES << WIRE_BITS) | WIRE_BYTES;
/** Tags of ForZone, ForNode. */
const TAG_HINT_NAME: u32 = (FIELD_HINT_NAME << WIRE_BITS) | WIRE_BYTES;

/** Maximum number of zones read per endpoint; the API server allows 8. */
const ZONES_MAX: u32 = 64;

/** Name ids of the current endpoint's zones, u32 each. */
const zones: usize = memory.data(ZONES_MAX << 2);
let zoneCount: u32 = 0;
let nodeFlags: u32 = 0;
/** Result of `readHints`; 0 = no hints. */
let readSet: usize = 0;

/**
 * Decodes a slice; its metadata has already been read. `typeAt` points to its addressType. If the
 * result is DECODED, the block holds references to names and hints, and `serviceKey` (meta.ts) is
 * set.
 */
export function decodeSlice(at: usize, length: usize, typeAt: usize, typeLength: usize): i32 {
  if (metaFlags & META_HEADLESS) return ABSENT;
  const family: u32 = isText(typeAt, typeLength, "IPv4")
    ? 4
    : isText(typeAt, typeLength, "IPv6")
      ? 6
      : 0;
  if (!family) {
    // A slice of host names is legal, and is for other programs.
    if (isText(typeAt, typeLength, "FQDN")) return ABSENT;
    problem(RULE_ADDRESS_TYPE, 0, typeAt, typeLength);
    return ABSENT;
  }
  if (!composeServiceKey()) {
    problem(RULE_SERVICE_LABEL, 0, metaServiceAt, metaServiceLength);
    return ABSENT;
  }
  buildStart();
  const header = build(SLICE_HEADER);
  if (!header) return NO_MEMORY;
  store<u8>(header, family, SLICE_FAMILY);
  let outcome = buildPorts(at, length);
  if (outcome == DECODED) outcome = buildEndpoints(at, length, family);
  if (outcome != DECODED) discardSlice();
  else store<u32>(built(), builtLength(), SLICE_SIZE);
  return outcome;
}

/** Releases the references of the block in the builder. */
export function discardSlice(): void {
  releaseSliceRefs(built());
}

function buildPorts(at: usize, length: usize): i32 {
  let index: u32 = 0;
  openMessage(at, length);
  while (more()) {
    if (readTag() != TAG_SLICE_PORTS) {
      skipField();
      continue;
    }
    if (index == LIST_MAX) return refuse(RULE_TOO_MANY, LIST_PORTS);
    const outcome = buildPort(index++);
    if (outcome != DECODED) return outcome;
  }
  return broken() ? refuse(RULE_MALFORMED) : DECODED;
}

/**
 * Skips a port without a number (or with 0) or without a name, as kube-proxy does: it is not a port
 * to forward to.
 */
function buildPort(index: u32): i32 {
  readPort();
  if (broken() || !hasPortName || !portNumber) return DECODED;
  const protocol = portProtocol();
  if (!protocol) {
    problem(RULE_ENDPOINT_PROTOCOL, index, portProtocolAt, portProtocolLength);
    return DECODED;
  }
  if (portNumber < 0 || portNumber > 0xffff) {
    problemNumber(RULE_ENDPOINT_PORT, index, portNumber);
    return DECODED;
  }
  const name = nameHold(portNameAt, portNameLength);
  if (name == NAME_NONE) return NO_MEMORY;
  const row = build(SLICE_PORT_STRIDE);
  if (!row) {
    nameDrop(name);
    return NO_MEMORY;
  }
  store<u32>(row, name, SLICE_PORT_NAME);
  store<u16>(row, portNumber, SLICE_PORT_NUMBER);
  store<u8>(row, protocol, SLICE_PORT_PROTOCOL);
  store<u16>(built(), slicePortCount(built()) + 1, SLICE_PORTS);
  return DECODED;
}

function buildEndpoints(at: usize, length: usize, family: u32): i32 {
  let index: u32 = 0;
  openMessage(at, length);
  while (more()) {
    if (readTag() != TAG_SLICE_ENDPOINTS) {
      skipField();
      continue;
    }
    if (!buildEndpoint(index++, family)) return NO_MEMORY;
  }
  return broken() ? refuse(RULE_MALFORMED) : DECODED;
}

/** Returns false if memory cannot grow. */
function buildEndpoint(index: u32, family: u32): bool {
  let addresses: u32 = 0;
  let addressAt: usize = 0;
  let addressLength: usize = 0;
  let hints: usize = 0;
  let flags = ENDPOINT_READY | ENDPOINT_SERVING;
  const outer = enterMessage();
  while (more()) {
    switch (readTag()) {
      case TAG_ENDPOINT_ADDRESSES:
        readBytes();
        if (!addresses++) {
          addressAt = bytesAt;
          addressLength = bytesLength;
        }
        break;
      case TAG_ENDPOINT_CONDITIONS:
        flags = (flags & ENDPOINT_LOCAL) | readConditions();
        break;
      case TAG_ENDPOINT_NODE_NAME:
        readBytes();
        if (isThisNode(bytesAt, bytesLength)) flags |= ENDPOINT_LOCAL;
        break;
      case TAG_ENDPOINT_HINTS:
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
    problem(RULE_ENDPOINT_ADDRESS, index, addressAt, addressLength);
    return true;
  }
  const row = build(endpointStride(family));
  if (!row) {
    dropHints(hints);
    return false;
  }
  const block = built();
  store<u32>(row, hints, ENDPOINT_HINTS);
  store<u32>(row, flags, ENDPOINT_FLAGS);
  if (family == 4) store<u32>(row, load<u32>(parsedAddress), ENDPOINT_IP);
  else copy16(row + ENDPOINT_IP, parsedAddress);
  store<u32>(block, sliceEndpointCount(block) + 1, SLICE_ENDPOINTS);
  if (hintFlags(hints) & HINT_ZONES)
    store<u8>(block, load<u8>(block, SLICE_FLAGS) | SLICE_FLAG_ZONES, SLICE_FLAGS);
  return true;
}

/** Reads the conditions. If absent, ready and serving are true, and terminating is false. */
function readConditions(): u32 {
  let flags = ENDPOINT_READY | ENDPOINT_SERVING;
  const outer = enterMessage();
  while (more()) {
    const tag = readTag();
    const flag: u32 =
      tag == TAG_CONDITION_READY
        ? ENDPOINT_READY
        : tag == TAG_CONDITION_SERVING
          ? ENDPOINT_SERVING
          : tag == TAG_CONDITION_TERMINATING
            ? ENDPOINT_TERMINATING
            : 0;
    if (!flag) skipField();
    else if (readVarint()) flags |= flag;
    else flags &= ~flag;
  }
  leaveMessage(outer);
  return flags;
}

/**
 * Reads EndpointHints into `readSet` and takes a reference. Returns false if memory cannot grow.
 */
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
    if (tag == TAG_HINTS_FOR_ZONES) {
      readHintName();
      enough = addZone();
    } else if (tag == TAG_HINTS_FOR_NODES) {
      readHintName();
      nodeFlags |= HINT_NODES;
      if (isThisNode(bytesAt, bytesLength)) nodeFlags |= HINT_THIS_NODE;
    } else skipField();
  }
  leaveMessage(outer);
  if (enough) readSet = holdHints(zones, zoneCount, nodeFlags);
  for (let i: u32 = 0; i < zoneCount; i++) nameDrop(load<u32>(word(zones, i)));
  if (!readSet) return enough && !zoneCount && !nodeFlags;
  if (!broken()) rememberHints(from, length, readSet);
  return true;
}

/** Reads the name of a ForZone or ForNode into `bytesAt`; empty if absent. */
function readHintName(): void {
  const outer = enterMessage();
  noBytes();
  while (more()) {
    if (readTag() == TAG_HINT_NAME) readBytes();
    else skipField();
  }
  leaveMessage(outer);
}

/**
 * Inserts a zone in sorted order into the endpoint's zones. Returns false if memory cannot grow.
 */
function addZone(): bool {
  if (zoneCount == ZONES_MAX) return true;
  const name = nameHold(bytesAt, bytesLength);
  if (name == NAME_NONE) return false;
  let place = zoneCount;
  while (place && load<u32>(word(zones, place - 1)) > name) place--;
  if (place && load<u32>(word(zones, place - 1)) == name) {
    nameDrop(name);
    return true;
  }
  const at = word(zones, place);
  memory.copy(word(zones, place + 1), at, wordsBytes(zoneCount - place));
  store<u32>(at, name);
  zoneCount++;
  return true;
}
