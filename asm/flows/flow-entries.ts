// Parses one connection tracking entry as reported by ctnetlink. Every length in the bytes is
// checked against their end before it is used.

import { ipBytes } from "../memory/bytes";
import {
  AF_INET,
  AF_INET6,
  aligned,
  CTA_ID,
  CTA_IP_V4_SRC,
  CTA_IP_V6_SRC,
  CTA_PROTO_DST_PORT,
  CTA_PROTO_NUM,
  CTA_PROTO_SRC_PORT,
  CTA_PROTOINFO,
  CTA_PROTOINFO_TCP,
  CTA_PROTOINFO_TCP_STATE,
  CTA_STATUS,
  CTA_TUPLE_IP,
  CTA_TUPLE_ORIG,
  CTA_TUPLE_PROTO,
  CTA_TUPLE_REPLY,
  CTA_ZONE,
  NFGENMSG_FAMILY,
  NFGENMSG_HEADER,
  NLA_HEADER,
  NLA_LENGTH,
  NLA_TYPE,
  NLA_TYPE_MASK,
} from "./ctnetlink";

// The entry read last. Pointers are addresses in memory; 0 if absent.
/** 4 or 6. */
export let family: u32 = 0;
export let protocol: u32 = 0;
/** The client's destination, and the address and port that answer it. */
export let destination: usize = 0;
export let destinationPort: u32 = 0;
export let source: usize = 0;
export let sourcePort: u32 = 0;
/** TCP state as numbered by the kernel; 0 if absent. */
export let state: u32 = 0;
export let status: u32 = 0;
/** Payloads of CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID. */
export let tuple: usize = 0;
export let tupleBytes: u32 = 0;
export let zone: usize = 0;
export let id: usize = 0;

/**
 * Reads the entry between `at`, a struct nfgenmsg, and `end`. Returns false if it is not an entry
 * with both directions.
 */
export function readEntry(at: usize, end: usize): bool {
  if (at + NFGENMSG_HEADER > end) return false;
  const domain: u32 = load<u8>(at, NFGENMSG_FAMILY);
  if (domain != AF_INET && domain != AF_INET6) return false;
  family = domain == AF_INET ? 4 : 6;
  protocol = 0;
  destination = 0;
  destinationPort = 0;
  source = 0;
  sourcePort = 0;
  state = 0;
  status = 0;
  tuple = 0;
  zone = 0;
  id = 0;
  for (let each = at + NFGENMSG_HEADER; fits(each, end); each = after(each)) {
    const value = each + NLA_HEADER;
    const bytes = payload(each);
    switch (typeOf(each)) {
      case CTA_TUPLE_ORIG:
        tuple = value;
        tupleBytes = bytes;
        readTuple(value, value + bytes, false);
        break;
      case CTA_TUPLE_REPLY:
        readTuple(value, value + bytes, true);
        break;
      case CTA_STATUS:
        if (bytes >= sizeof<u32>()) status = bswap<u32>(load<u32>(value));
        break;
      case CTA_PROTOINFO:
        readState(value, value + bytes);
        break;
      case CTA_ZONE:
        if (bytes >= sizeof<u16>()) zone = value;
        break;
      case CTA_ID:
        if (bytes >= sizeof<u32>()) id = value;
        break;
    }
  }
  return destination != 0 && source != 0 && destinationPort != 0 && sourcePort != 0;
}

function readTuple(at: usize, end: usize, reply: bool): void {
  for (let each = at; fits(each, end); each = after(each)) {
    const value = each + NLA_HEADER;
    const type = typeOf(each);
    if (type == CTA_TUPLE_IP) readAddress(value, value + payload(each), reply);
    else if (type == CTA_TUPLE_PROTO) readPorts(value, value + payload(each), reply);
  }
}

function readAddress(at: usize, end: usize, reply: bool): void {
  const from = family == 4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC;
  const size = <u32>ipBytes(family);
  for (let each = at; fits(each, end); each = after(each)) {
    if (payload(each) < size) continue;
    const type = typeOf(each);
    if (reply && type == from) source = each + NLA_HEADER;
    else if (!reply && type == from + 1) destination = each + NLA_HEADER;
  }
}

function readPorts(at: usize, end: usize, reply: bool): void {
  for (let each = at; fits(each, end); each = after(each)) {
    const value = each + NLA_HEADER;
    const type = typeOf(each);
    if (type == CTA_PROTO_NUM) {
      if (!reply && payload(each) >= 1) protocol = load<u8>(value);
    } else if (payload(each) < sizeof<u16>()) continue;
    else if (reply && type == CTA_PROTO_SRC_PORT) sourcePort = bswap<u16>(load<u16>(value));
    else if (!reply && type == CTA_PROTO_DST_PORT) destinationPort = bswap<u16>(load<u16>(value));
  }
}

function readState(at: usize, end: usize): void {
  for (let each = at; fits(each, end); each = after(each)) {
    if (typeOf(each) != CTA_PROTOINFO_TCP) continue;
    const inner = each + NLA_HEADER + payload(each);
    for (let one = each + NLA_HEADER; fits(one, inner); one = after(one)) {
      if (typeOf(one) != CTA_PROTOINFO_TCP_STATE || payload(one) < 1) continue;
      state = load<u8>(one + NLA_HEADER);
    }
  }
}

// Reports whether a whole attribute lies between `at` and `end`.
function fits(at: usize, end: usize): bool {
  if (at + NLA_HEADER > end) return false;
  const length: usize = load<u16>(at, NLA_LENGTH);
  return length >= NLA_HEADER && at + length <= end;
}

function after(at: usize): usize {
  return at + aligned(load<u16>(at, NLA_LENGTH));
}

function typeOf(at: usize): u32 {
  return <u32>load<u16>(at, NLA_TYPE) & NLA_TYPE_MASK;
}

function payload(at: usize): u32 {
  return <u32>load<u16>(at, NLA_LENGTH) - <u32>NLA_HEADER;
}
