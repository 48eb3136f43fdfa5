// The ports of a Service, into the block in the builder.

import { protocolOf } from "../cluster/protocols";
import { servicePortCount } from "../cluster/services";
import {
  PORT_STRIDE,
  PROBLEM_DUPLICATE_PORT,
  PROBLEM_MALFORMED,
  PROBLEM_NODE_PORT,
  PROBLEM_PORT,
  PROBLEM_PROTOCOL,
  PROBLEM_TOO_MANY,
} from "../layout/layout";
import { build, built, builtLength, unbuild } from "../memory/builder";
import { NAME_NONE, nameDrop, nameHold } from "../memory/names";
import { DECODED, NO_MEMORY, refuse } from "./outcome";
import { problem, problemNumber } from "./problems";
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
  readInt,
  readTag,
  seek,
  skipField,
} from "./protobuf";

/** First port of the block, as an offset. */
let listStart: usize = 0;
/** Of the next port, in the object. */
let listIndex: u32 = 0;

/** The ports of a Service spec, behind its addresses. */
export function buildPorts(at: usize, length: usize): i32 {
  listStart = builtLength();
  listIndex = 0;
  openMessage(at, length);
  while (seek((1 << 3) | 2)) {
    const outcome = buildPort();
    if (outcome != DECODED) return outcome;
  }
  return broken() ? refuse(PROBLEM_MALFORMED) : DECODED;
}

function buildPort(): i32 {
  const index = listIndex++;
  if (index >= LIST_MAX) return refuse(PROBLEM_TOO_MANY, 4);
  let nameAt: usize = 0;
  let nameLength: usize = 0;
  let protocolAt: usize = 0;
  let protocolLength: usize = 0;
  let port = 0;
  let nodePort = 0;
  const outer = enterMessage();
  while (more()) {
    switch (readTag()) {
      case (1 << 3) | 2:
        readBytes();
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
      case (5 << 3) | 0:
        nodePort = readInt();
        break;
      default:
        skipField();
    }
  }
  leaveMessage(outer);
  if (broken()) return DECODED;
  const protocol = protocolOf(protocolAt, protocolLength);
  if (!protocol) {
    problem(PROBLEM_PROTOCOL, index, protocolAt, protocolLength);
    return DECODED;
  }
  if (port < 1 || port > 0xffff) {
    problemNumber(PROBLEM_PORT, index, port);
    return DECODED;
  }
  if (nodePort < 0 || nodePort > 0xffff) {
    problemNumber(PROBLEM_NODE_PORT, index, nodePort);
    nodePort = 0;
  }
  return appendPort(index, nameAt, nameLength, protocol, port, nodePort);
}

function appendPort(
  index: u32,
  nameAt: usize,
  nameLength: usize,
  protocol: u32,
  port: u32,
  nodePort: u32,
): i32 {
  const name = nameHold(nameAt, nameLength);
  if (name == NAME_NONE) return NO_MEMORY;
  const at = build(PORT_STRIDE);
  if (!at) {
    nameDrop(name);
    return NO_MEMORY;
  }
  store<u32>(at, name);
  store<u16>(at, port, 4);
  store<u16>(at, nodePort, 6);
  store<u8>(at, protocol, 8);
  setPortCount(servicePortCount(built()) + 1);
  dropDoubles(index, at);
  return DECODED;
}

/** The last of two ports with the same name and protocol, or number and protocol, is the one that counts. */
function dropDoubles(index: u32, last: usize): void {
  for (let port = built() + listStart; port < last; ) {
    const same = load<u32>(port) == load<u32>(last) || load<u16>(port, 4) == load<u16>(last, 4);
    if (!same || load<u8>(port, 8) != load<u8>(last, 8)) {
      port += PORT_STRIDE;
      continue;
    }
    problemNumber(PROBLEM_DUPLICATE_PORT, index, load<u16>(last, 4));
    nameDrop(load<u32>(port));
    memory.copy(port, port + PORT_STRIDE, last - port);
    last -= PORT_STRIDE;
    unbuild(PORT_STRIDE);
    setPortCount(servicePortCount(built()) - 1);
  }
}

function setPortCount(count: u32): void {
  store<u16>(built(), count, 16);
}
