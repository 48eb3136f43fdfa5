// The address lists of a Service, each once whatever its spelling, into the block in the builder.

import {
  ADDRESS_STRIDE,
  PROBLEM_CLUSTER_IP,
  PROBLEM_INGRESS_IP,
  PROBLEM_MALFORMED,
  PROBLEM_SOURCE_RANGE,
  PROBLEM_TOO_MANY,
} from "../layout/layout";
import { build, built, builtLength, unbuild } from "../memory/builder";
import { copy16, isText, sameBytes } from "../memory/bytes";
import { DECODED, NO_MEMORY, refuse } from "./outcome";
import { problem } from "./problems";
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

/** First address of the list being built, as an offset, and how many it has. */
let listStart: usize = 0;
let listCount: u32 = 0;
/** Of the entry last seen, in its list in the object. */
let listIndex: u32 = 0;

function openList(): void {
  listStart = builtLength();
  listCount = 0;
  listIndex = 0;
}

function closeList(countOffset: usize): i32 {
  if (broken()) return refuse(PROBLEM_MALFORMED);
  store<u16>(built() + countOffset, listCount);
  return DECODED;
}

/** A repeated string of the spec. `list` is its number for PROBLEM_TOO_MANY. */
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

/** A manifest, or an object of an old cluster, may have `clusterIP` only. */
export function buildClusterIp(at: usize, length: usize): i32 {
  openList();
  openMessage(at, 0);
  if (parseAddress(at, length)) {
    const outcome = appendAddress();
    if (outcome != DECODED) return outcome;
  } else problem(PROBLEM_CLUSTER_IP, 0, at, length);
  return closeList(18);
}

/** ServiceStatus { 1: loadBalancer { 1: ingress[] { 1: ip, 3: ipMode } } }; only ipMode VIP (or none) is ours. */
export function buildIngress(at: usize, length: usize): i32 {
  openList();
  openMessage(at, length);
  while (seek((1 << 3) | 2)) {
    const outer = enterMessage();
    while (seek((1 << 3) | 2)) {
      const outcome = readIngress();
      if (outcome != DECODED) return outcome;
    }
    leaveMessage(outer);
  }
  return closeList(22);
}

function readIngress(): i32 {
  let ipAt: usize = 0;
  let ipLength: usize = 0;
  let vip = true;
  const outer = enterMessage();
  while (more()) {
    const tag = readTag();
    if (tag == ((1 << 3) | 2)) {
      readBytes();
      ipAt = bytesAt;
      ipLength = bytesLength;
    } else if (tag == ((3 << 3) | 2)) {
      readBytes();
      vip = isText(bytesAt, bytesLength, "VIP");
    } else skipField();
  }
  leaveMessage(outer);
  if (!vip || !ipLength || broken()) {
    listIndex++;
    return DECODED;
  }
  return buildAddress(ipAt, ipLength, PROBLEM_INGRESS_IP, 2);
}

/** An address or range; a wrong one is told and left out. */
function buildAddress(at: usize, length: usize, rule: i32, list: u32): i32 {
  const index = listIndex++;
  if (broken()) return DECODED;
  if (index >= LIST_MAX) return refuse(PROBLEM_TOO_MANY, list);
  const right = rule == PROBLEM_SOURCE_RANGE ? parseRange(at, length) : parseAddress(at, length);
  if (right) return appendAddress();
  problem(rule, index, at, length);
  return DECODED;
}

/** What was parsed goes to the list, unless it is there already in whatever spelling. */
function appendAddress(): i32 {
  const at = build(ADDRESS_STRIDE);
  if (!at) return NO_MEMORY;
  store<u8>(at, parsedFamily);
  store<u8>(at, parsedPrefix, 1);
  copy16(at + 4, parsedAddress);
  for (let other = built() + listStart; other < at; other += ADDRESS_STRIDE) {
    if (!sameBytes(other, at, ADDRESS_STRIDE)) continue;
    unbuild(ADDRESS_STRIDE);
    return DECODED;
  }
  listCount++;
  return DECODED;
}
