// Builds the address lists of a Service in the builder's block; each address occurs once per list.

import {
  FIELD_INGRESS_IP,
  FIELD_INGRESS_IP_MODE,
  FIELD_LOAD_BALANCER_INGRESS,
  FIELD_STATUS_LOAD_BALANCER,
  WIRE_BITS,
  WIRE_BYTES,
} from "../layout/fields";
import {
  LIST_INGRESS,
  RULE_CLUSTER_IP,
  RULE_INGRESS_IP,
  RULE_MALFORMED,
  RULE_SOURCE_RANGE,
  RULE_TOO_MANY,
} from "../layout/problem";
import {
  ADDRESS_FAMILY,
  ADDRESS_IP,
  ADDRESS_PREFIX,
  ADDRESS_STRIDE,
  SERVICE_CLUSTER_IPS,
  SERVICE_VIPS,
} from "../layout/service";
import { build, built, builtLength, unbuild } from "../memory/builder";
import { copy16, isText, sameBytes } from "../memory/bytes";
import { DECODED, NO_MEMORY, problem, refuse } from "./problems";
import {
  broken,
  bytesAt,
  bytesLength,
  enterMessage,
  LIST_MAX,
  leaveMessage,
  more,
  openMessage,
  readBytes,
  readTag,
  seek,
  skipField,
} from "./protobuf";
import { parseAddress, parsedAddress, parsedFamily, parsedPrefix, parseRange } from "./text";

/** Tags of ServiceStatus, LoadBalancerStatus, LoadBalancerIngress. */
const TAG_STATUS_LOAD_BALANCER: u32 = (FIELD_STATUS_LOAD_BALANCER << WIRE_BITS) | WIRE_BYTES;
const TAG_LOAD_BALANCER_INGRESS: u32 = (FIELD_LOAD_BALANCER_INGRESS << WIRE_BITS) | WIRE_BYTES;
const TAG_INGRESS_IP: u32 = (FIELD_INGRESS_IP << WIRE_BITS) | WIRE_BYTES;
const TAG_INGRESS_IP_MODE: u32 = (FIELD_INGRESS_IP_MODE << WIRE_BITS) | WIRE_BYTES;

/** First address of the list being built, as an offset, and the number of addresses in it. */
let listStart: usize = 0;
let listCount: u32 = 0;
/** Index of the current entry in the object's list. */
let listIndex: u32 = 0;

function openList(): void {
  listStart = builtLength();
  listCount = 0;
  listIndex = 0;
}

function closeList(countOffset: usize): i32 {
  if (broken()) return refuse(RULE_MALFORMED);
  store<u16>(built() + countOffset, listCount);
  return DECODED;
}

/**
 * Builds a repeated string field of the spec. `countOffset` is the offset of its length in the
 * SERVICE record.
 */
export function buildList(
  at: usize,
  length: usize,
  tag: u32,
  rule: i32,
  list: u32,
  countOffset: usize,
): i32 {
  openList();
  openMessage(at, length);
  while (seek(tag)) {
    readBytes();
    const outcome = buildAddress(bytesAt, bytesLength, rule, list);
    if (outcome != DECODED) return outcome;
  }
  return closeList(countOffset);
}

/**
 * Builds clusterIPs from `clusterIP`. Manifests, and objects from old clusters, may lack
 * clusterIPs.
 */
export function buildClusterIp(at: usize, length: usize): i32 {
  openList();
  openMessage(at, 0);
  if (parseAddress(at, length)) {
    const outcome = appendAddress();
    if (outcome != DECODED) return outcome;
  } else problem(RULE_CLUSTER_IP, 0, at, length);
  return closeList(SERVICE_CLUSTER_IPS);
}

/**
 * Builds the ingress addresses of a ServiceStatus. Only those with ipMode VIP, or without ipMode,
 * count.
 */
export function buildIngress(at: usize, length: usize): i32 {
  openList();
  openMessage(at, length);
  while (seek(TAG_STATUS_LOAD_BALANCER)) {
    const outer = enterMessage();
    while (seek(TAG_LOAD_BALANCER_INGRESS)) {
      const outcome = readIngress();
      if (outcome != DECODED) return outcome;
    }
    leaveMessage(outer);
  }
  return closeList(SERVICE_VIPS);
}

function readIngress(): i32 {
  let ipAt: usize = 0;
  let ipLength: usize = 0;
  let vip = true;
  const outer = enterMessage();
  while (more()) {
    const tag = readTag();
    if (tag == TAG_INGRESS_IP) {
      readBytes();
      ipAt = bytesAt;
      ipLength = bytesLength;
    } else if (tag == TAG_INGRESS_IP_MODE) {
      readBytes();
      vip = isText(bytesAt, bytesLength, "VIP");
    } else skipField();
  }
  leaveMessage(outer);
  if (!vip || !ipLength || broken()) {
    listIndex++;
    return DECODED;
  }
  return buildAddress(ipAt, ipLength, RULE_INGRESS_IP, LIST_INGRESS);
}

/** Appends an address or range; reports an invalid one and skips it. */
function buildAddress(at: usize, length: usize, rule: i32, list: u32): i32 {
  const index = listIndex++;
  if (broken()) return DECODED;
  if (index >= LIST_MAX) return refuse(RULE_TOO_MANY, list);
  const right = rule == RULE_SOURCE_RANGE ? parseRange(at, length) : parseAddress(at, length);
  if (right) return appendAddress();
  problem(rule, index, at, length);
  return DECODED;
}

/** Appends the parsed address to the list, unless the list contains it already in any spelling. */
function appendAddress(): i32 {
  const at = build(ADDRESS_STRIDE);
  if (!at) return NO_MEMORY;
  store<u8>(at, parsedFamily, ADDRESS_FAMILY);
  store<u8>(at, parsedPrefix, ADDRESS_PREFIX);
  copy16(at + ADDRESS_IP, parsedAddress);
  for (let other = built() + listStart; other < at; other += ADDRESS_STRIDE) {
    if (!sameBytes(other, at, ADDRESS_STRIDE)) continue;
    unbuild(ADDRESS_STRIDE);
    return DECODED;
  }
  listCount++;
  return DECODED;
}
