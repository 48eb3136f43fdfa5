// Joins a dump of connection tracking with the frontends of a pass: reads the kernel's messages as they come, and writes
// a message of deletion for each entry that must not go on as it is.

import { PROTOCOL_TCP, PROTOCOL_UDP } from "../cluster/protocols";
import {
  FLOWS_CHUNK_CUT,
  FLOWS_CHUNK_END,
  FLOWS_CHUNK_INTERRUPTED,
  IPS_SEEN_REPLY,
  NFGENMSG,
} from "../layout/layout";
import { copy16, sameBytes } from "../memory/bytes";
import { REGION_SIZE, region } from "../memory/region";
import {
  forgetEndpoints,
  isNodeAddress,
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
import { FRONTEND_COUNT, findPassing, flowsEnd, PORT_KEY } from "./flow-frontends";

const NLMSG_HEADER: usize = 16;
const NLMSG_ERROR: u32 = 2;
const NLMSG_DONE: u32 = 3;
const NLM_F_REQUEST: u32 = 1;
const NLM_F_DUMP_INTR: u32 = 16;
/** NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, _DELETE */
const ENTRY: u32 = 0x100;
const DELETE: u32 = 0x102;
const TUPLE_ORIG_NESTED: u32 = 0x8001;
const CTA_ID: u32 = 12;
const CTA_ZONE: u32 = 18;
/** enum tcp_conntrack */
const SYN_SENT: u32 = 1;
const NO_MEMORY: i32 = -1;

const chunk = region(memory.data(REGION_SIZE));
const deletions = region(memory.data(REGION_SIZE));
/** layout.ts: FLOWS_CHUNK_* */
const result: usize = memory.data(24);
const key: usize = memory.data(24);

/** Where the host writes the next `bytes` of a dump, one datagram; 0 when memory cannot grow. */
export function flowsChunk(bytes: u32): usize {
  return chunk.reserve(max(bytes, 4)) ? chunk.base : 0;
}

/** Judges the `bytes` there; returns where the result lies (layout.ts), 0 when memory cannot grow. */
export function flowsJudge(bytes: u32): usize {
  assert(bytes <= chunk.capacity);
  memory.fill(result, 0, 24);
  deletions.length = 0;
  const end = chunk.base + bytes;
  let flags: u32 = 0;
  for (let at = chunk.base; at < end; ) {
    const length: usize = at + NLMSG_HEADER <= end ? load<u32>(at) : 0;
    if (length < NLMSG_HEADER || length > end - at) {
      flags |= FLOWS_CHUNK_CUT;
      break;
    }
    if (load<u16>(at, 6) & NLM_F_DUMP_INTR) flags |= FLOWS_CHUNK_INTERRUPTED;
    const type: u32 = load<u16>(at, 4);
    if (type == NLMSG_DONE || type == NLMSG_ERROR) {
      flags |= FLOWS_CHUNK_END;
      if (length >= NLMSG_HEADER + 4) store<i32>(result, -load<i32>(at, NLMSG_HEADER), 12);
      break;
    }
    if (type == ENTRY && readEntry(at + NLMSG_HEADER, at + length)) {
      store<u32>(result, load<u32>(result) + 1);
      const verdict = judge();
      if (verdict == NO_MEMORY || (verdict && !writeDeletion())) return 0;
      store<u32>(result, load<u32>(result, 4) + verdict, 4);
    }
    at += (length + 3) & ~3;
  }
  store<u32>(result, flags, 8);
  store<u32>(result, <u32>deletions.base, 16);
  store<u32>(result, deletions.length, 20);
  return result;
}

/** Ends the pass (flow-frontends.ts), and gives back the memory it took. */
export function flowsFinish(again: bool): void {
  flowsEnd(again);
  forgetEndpoints();
  deletions.clear();
}

// 1 if the entry must go, 0 if not, or NO_MEMORY.
function judge(): i32 {
  // An endpoint that has answered is there, and the client may take the connection for established.
  if (protocol == PROTOCOL_TCP) {
    if (state != SYN_SENT || status & IPS_SEEN_REPLY) return 0;
  } else if (protocol != PROTOCOL_UDP) return 0;
  const size: u32 = family == 4 ? 4 : 16;
  if (size == 4) store<u32>(key, load<u32>(destination));
  else copy16(key, destination);
  store<u32>(key + size, protocol);
  store<u32>(key + size, bswap<u16>(<u16>destinationPort), 4);
  const frontend = findPassing(family, size, key);
  if (frontend) return isStale(frontend, size);
  const nodePort = findPassing(family, 0, key + size);
  if (!nodePort) return 0;
  // The address may be a frontend with that very port as well, which then comes first.
  if (ownerOfFrontend(family, size, key) >= 0 || !isNodeAddress(family, key)) return 0;
  return isStale(nodePort, size);
}

function isStale(frontend: usize, size: u32): i32 {
  if (!learnEndpoints(frontend)) return NO_MEMORY;
  const endpoints = load<u32>(frontend, FRONTEND_COUNT);
  if (endpoints == UNKNOWN) return 0;
  if (destinationPort == sourcePort && sameBytes(destination, source, size)) {
    // Never translated: a way of its own while there are no endpoints, a black hole when there are. Should it be one to
    // somebody else, its next packet begins it anew.
    return endpoints > 0 ? 1 : 0;
  }
  return isServedBy(frontend, source, sourcePort) ? 0 : 1;
}

// Deletes this very entry, not a later one of the same tuple: the id is compared by the kernel.
function writeDeletion(): bool {
  const tupleSize: usize = 4 + ((<usize>tupleBytes + 3) & ~3);
  const size = NLMSG_HEADER + NFGENMSG + tupleSize + (zone ? 8 : 0) + (id ? 8 : 0);
  let at = deletions.extend(<u32>size);
  if (!at) return false;
  memory.fill(at, 0, size);
  store<u32>(at, <u32>size);
  store<u32>(at, DELETE | (NLM_F_REQUEST << 16), 4);
  store<u32>(at, 1, 8);
  store<u8>(at, family == 4 ? 2 : 10, NLMSG_HEADER);
  at += NLMSG_HEADER + NFGENMSG;
  store<u32>(at, (4 + tupleBytes) | (TUPLE_ORIG_NESTED << 16));
  memory.copy(at + 4, tuple, tupleBytes);
  at += tupleSize;
  if (zone) {
    store<u32>(at, 6 | (CTA_ZONE << 16));
    store<u16>(at, load<u16>(zone), 4);
    at += 8;
  }
  if (id) {
    store<u32>(at, 8 | (CTA_ID << 16));
    store<u32>(at, load<u32>(id), 4);
  }
  return true;
}
