// One entry of connection tracking as ctnetlink tells it (linux/netfilter/nfnetlink_conntrack.h). Nothing that the
// bytes say is believed before it is held against their end.

import { NFGENMSG } from "../layout/layout";

const CTA_TUPLE_ORIG: u32 = 1;
const CTA_TUPLE_REPLY: u32 = 2;
const CTA_STATUS: u32 = 3;
const CTA_PROTOINFO: u32 = 4;
const CTA_ID: u32 = 12;
const CTA_ZONE: u32 = 18;
const CTA_TUPLE_IP: u32 = 1;
const CTA_TUPLE_PROTO: u32 = 2;
const CTA_IP_V4_SRC: u32 = 1;
const CTA_IP_V6_SRC: u32 = 3;
const CTA_PROTO_NUM: u32 = 1;
const CTA_PROTO_SRC_PORT: u32 = 2;
const CTA_PROTO_DST_PORT: u32 = 3;
const CTA_PROTOINFO_TCP: u32 = 1;
const CTA_PROTOINFO_TCP_STATE: u32 = 1;
const NLA_HEADER: usize = 4;
const NLA_TYPE_MASK: u32 = 0x3fff;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

// The entry that was read last. Offsets are addresses in memory, 0 where there is none.
/** 4 or 6. */
export let family: u32 = 0;
export let protocol: u32 = 0;
/** What the client asked for, and who answers it. */
export let destination: usize = 0;
export let destinationPort: u32 = 0;
export let source: usize = 0;
export let sourcePort: u32 = 0;
/** Of TCP, as the kernel numbers them; 0 if it is not told. */
export let state: u32 = 0;
export let status: u32 = 0;
/** Payloads of CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID. */
export let tuple: usize = 0;
export let tupleBytes: u32 = 0;
export let zone: usize = 0;
export let id: usize = 0;

/** Reads what is from `at`, a struct nfgenmsg, to `end`. False if it is no entry with both its directions. */
export function readEntry(at: usize, end: usize): bool {
  if (at + NFGENMSG > end) return false;
  const domain: u32 = load<u8>(at);
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
  for (let each = at + NFGENMSG; fits(each, end); each = after(each)) {
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
        if (bytes >= 4) status = bswap<u32>(load<u32>(value));
        break;
      case CTA_PROTOINFO:
        readState(value, value + bytes);
        break;
      case CTA_ZONE:
        if (bytes >= 2) zone = value;
        break;
      case CTA_ID:
        if (bytes >= 4) id = value;
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
  const size: u32 = family == 4 ? 4 : 16;
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
    } else if (payload(each) < 2) continue;
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

// Is there a whole attribute at `at`, before `end`?
function fits(at: usize, end: usize): bool {
  if (at + NLA_HEADER > end) return false;
  const length: usize = load<u16>(at);
  return length >= NLA_HEADER && at + length <= end;
}

function after(at: usize): usize {
  return at + ((<usize>load<u16>(at) + 3) & ~3);
}

function typeOf(at: usize): u32 {
  return <u32>load<u16>(at, 2) & NLA_TYPE_MASK;
}

function payload(at: usize): u32 {
  return <u32>load<u16>(at) - <u32>NLA_HEADER;
}
