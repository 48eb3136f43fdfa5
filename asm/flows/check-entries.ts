// Matches a dump of connection tracking against the frontends of a pass. It reads the kernel's
// messages as they arrive and writes a deletion message for each entry that must end.

import {
  FLOWS_CHUNK_CUT,
  FLOWS_CHUNK_END,
  FLOWS_CHUNK_INTERRUPTED,
  FLOWS_RESULT_BYTES,
  FLOWS_RESULT_DELETIONS,
  FLOWS_RESULT_DELETIONS_LENGTH,
  FLOWS_RESULT_ENTRIES,
  FLOWS_RESULT_ERRNO,
  FLOWS_RESULT_FLAGS,
  FLOWS_RESULT_STALE,
  IPS_SEEN_REPLY,
} from "../layout/flow";
import { KEY_BYTES, KEY_PORT, KEY_PROTOCOL, PROTOCOL_TCP, PROTOCOL_UDP } from "../layout/key";
import { copy16, IPV4_BYTES, IPV6_BYTES, ipBytes, sameBytes } from "../memory/bytes";
import { REGION_BYTES, region } from "../memory/region";
import {
  AF_INET,
  AF_INET6,
  aligned,
  CTA_ID,
  CTA_TUPLE_ORIG,
  CTA_ZONE,
  CTNETLINK_DELETE,
  CTNETLINK_NEW,
  ERRNO_BYTES,
  NFGENMSG_FAMILY,
  NFGENMSG_HEADER,
  NLA_F_NESTED,
  NLA_HEADER,
  NLA_LENGTH,
  NLA_TYPE,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_FLAGS,
  NLMSG_HEADER,
  NLMSG_LENGTH,
  NLMSG_SEQUENCE,
  NLMSG_TYPE,
  TCP_CONNTRACK_SYN_SENT,
} from "./ctnetlink";
import {
  forgetEndpoints,
  isServedBy,
  learnEndpoints,
  ownerOfFrontend,
  UNKNOWN,
} from "./flow-endpoints";
import {
  destination,
  destinationPort,
  family,
  id,
  protocol,
  readEntry,
  source,
  sourcePort,
  state,
  status,
  tuple,
  tupleBytes,
  zone,
} from "./flow-entries";
import { FRONTEND_COUNT, findPassing, flowsEnd } from "./flow-frontends";
import { forgetRanges, servesNodePorts } from "./flow-ranges";

const NO_MEMORY: i32 = -1;
/** Sizes of an attribute with a u16be and one with a u32be, including padding. */
const ZONE_SIZE: usize = 8;
const ID_SIZE: usize = 8;

const chunk = region(memory.data(REGION_BYTES));
const deletions = region(memory.data(REGION_BYTES));
/** FLOWS_RESULT of the last chunk. */
const result: usize = memory.data(FLOWS_RESULT_BYTES);
/** An address, followed by a KEY record. */
const key: usize = memory.data(IPV6_BYTES + KEY_BYTES);

/**
 * Returns the address for the next `bytes` bytes of a dump, one datagram; 0 if memory cannot grow.
 */
export function flowsChunk(bytes: u32): usize {
  return chunk.reserve(max(bytes, 1)) ? chunk.base : 0;
}

/** Checks these `bytes` bytes. Returns the address of the FLOWS_RESULT; 0 if memory cannot grow. */
export function flowsCheck(bytes: u32): usize {
  assert(bytes <= chunk.capacity);
  memory.fill(result, 0, FLOWS_RESULT_BYTES);
  deletions.length = 0;
  const end = chunk.base + bytes;
  let flags: u32 = 0;
  for (let at = chunk.base; at < end; ) {
    const length: usize = at + NLMSG_HEADER <= end ? load<u32>(at, NLMSG_LENGTH) : 0;
    if (length < NLMSG_HEADER || length > end - at) {
      flags |= FLOWS_CHUNK_CUT;
      break;
    }
    if (load<u16>(at, NLMSG_FLAGS) & NLM_F_DUMP_INTR) flags |= FLOWS_CHUNK_INTERRUPTED;
    const type: u32 = load<u16>(at, NLMSG_TYPE);
    if (type == NLMSG_DONE || type == NLMSG_ERROR) {
      flags |= FLOWS_CHUNK_END;
      if (length >= NLMSG_HEADER + ERRNO_BYTES)
        store<i32>(result, -load<i32>(at, NLMSG_HEADER), FLOWS_RESULT_ERRNO);
      break;
    }
    if (type == CTNETLINK_NEW && readEntry(at + NLMSG_HEADER, at + length)) {
      store<u32>(result, load<u32>(result, FLOWS_RESULT_ENTRIES) + 1, FLOWS_RESULT_ENTRIES);
      const stale = checkEntry();
      if (stale == NO_MEMORY || (stale && !writeDeletion())) return 0;
      store<u32>(result, load<u32>(result, FLOWS_RESULT_STALE) + stale, FLOWS_RESULT_STALE);
    }
    at += aligned(length);
  }
  store<u32>(result, flags, FLOWS_RESULT_FLAGS);
  store<u32>(result, <u32>deletions.base, FLOWS_RESULT_DELETIONS);
  store<u32>(result, deletions.length, FLOWS_RESULT_DELETIONS_LENGTH);
  return result;
}

/** Ends the pass (flow-frontends.ts) and releases its memory. */
export function flowsFinish(again: bool): void {
  flowsEnd(again);
  forgetEndpoints();
  forgetRanges();
  deletions.clear();
}

// Returns 1 if the entry must be deleted, 0 if not, or NO_MEMORY.
function checkEntry(): i32 {
  // An endpoint that answered exists, and the client may consider the connection established.
  if (protocol == PROTOCOL_TCP) {
    if (state != TCP_CONNTRACK_SYN_SENT || status & IPS_SEEN_REPLY) return 0;
  } else if (protocol != PROTOCOL_UDP) return 0;
  const size = <u32>ipBytes(family);
  if (size == IPV4_BYTES) store<u32>(key, load<u32>(destination));
  else copy16(key, destination);
  // A u32 store also clears the padding.
  store<u32>(key + size, protocol, KEY_PROTOCOL);
  store<u32>(key + size, bswap<u16>(<u16>destinationPort), KEY_PORT);
  const frontend = findPassing(family, size, key);
  if (frontend) return isStale(frontend, size);
  const nodePort = findPassing(family, 0, key + size);
  if (!nodePort) return 0;
  // The address and port may also be a frontend, which takes precedence over the node port.
  if (ownerOfFrontend(family, size, key) >= 0 || !servesNodePorts(family, key)) return 0;
  return isStale(nodePort, size);
}

function isStale(frontend: usize, size: u32): i32 {
  if (!learnEndpoints(frontend)) return NO_MEMORY;
  const endpoints = load<u32>(frontend, FRONTEND_COUNT);
  if (endpoints == UNKNOWN) return 0;
  // This includes an endpoint with the frontend's own address and port, for example a host network
  // pod behind a load balancer address of its node. Translation then changes nothing.
  if (isServedBy(frontend, source, sourcePort)) return 0;
  if (destinationPort == sourcePort && sameBytes(destination, source, size)) {
    // The connection was never translated. That is fine without endpoints, but a black hole if
    // there are any. If the entry had another purpose, its next packet creates it again.
    return endpoints > 0 ? 1 : 0;
  }
  return 1;
}

// Deletes exactly this entry, not a later one with the same tuple, because the kernel compares the
// id.
function writeDeletion(): bool {
  const tupleSize = NLA_HEADER + aligned(tupleBytes);
  const size =
    NLMSG_HEADER + NFGENMSG_HEADER + tupleSize + (zone ? ZONE_SIZE : 0) + (id ? ID_SIZE : 0);
  let at = deletions.extend(<u32>size);
  if (!at) return false;
  memory.fill(at, 0, size);
  store<u32>(at, <u32>size, NLMSG_LENGTH);
  store<u16>(at, CTNETLINK_DELETE, NLMSG_TYPE);
  store<u16>(at, NLM_F_REQUEST, NLMSG_FLAGS);
  store<u32>(at, 1, NLMSG_SEQUENCE);
  at += NLMSG_HEADER;
  store<u8>(at, family == 4 ? AF_INET : AF_INET6, NFGENMSG_FAMILY);
  at += NFGENMSG_HEADER;
  writeAttribute(at, CTA_TUPLE_ORIG | NLA_F_NESTED, tuple, tupleBytes);
  at += tupleSize;
  if (zone) {
    writeAttribute(at, CTA_ZONE, zone, sizeof<u16>());
    at += ZONE_SIZE;
  }
  if (id) writeAttribute(at, CTA_ID, id, sizeof<u32>());
  return true;
}

function writeAttribute(at: usize, type: u32, value: usize, bytes: usize): void {
  store<u16>(at, NLA_HEADER + bytes, NLA_LENGTH);
  store<u16>(at, type, NLA_TYPE);
  memory.copy(at + NLA_HEADER, value, bytes);
}
