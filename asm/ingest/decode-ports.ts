// Builds the ports of a Service in the builder's block.

import { servicePortCount } from "../cluster/services";
import { FIELD_SPEC_PORTS, WIRE_BITS, WIRE_BYTES } from "../layout/fields";
import {
  LIST_PORTS,
  RULE_DUPLICATE_PORT,
  RULE_MALFORMED,
  RULE_NODE_PORT,
  RULE_PORT,
  RULE_PROTOCOL,
  RULE_TOO_MANY,
} from "../layout/problem";
import {
  PORT_NAME,
  PORT_NODE_PORT,
  PORT_NUMBER,
  PORT_PROTOCOL,
  PORT_STRIDE,
  SERVICE_PORTS,
} from "../layout/service";
import { build, built, builtLength, unbuild } from "../memory/builder";
import { NAME_NONE, nameDrop, nameHold } from "../memory/names";
import {
  portNameAt,
  portNameLength,
  portNodePort,
  portNumber,
  portProtocol,
  portProtocolAt,
  portProtocolLength,
  readPort,
} from "./port-message";
import { DECODED, NO_MEMORY, problem, problemNumber, refuse } from "./problems";
import { broken, LIST_MAX, openMessage, seek } from "./protobuf";

const TAG_SPEC_PORTS: u32 = (FIELD_SPEC_PORTS << WIRE_BITS) | WIRE_BYTES;

/** First port of the block, as an offset. */
let listStart: usize = 0;
/** Index of the next port in the object. */
let listIndex: u32 = 0;

/** Appends the ports of a Service spec after its addresses. */
export function buildPorts(at: usize, length: usize): i32 {
  listStart = builtLength();
  listIndex = 0;
  openMessage(at, length);
  while (seek(TAG_SPEC_PORTS)) {
    const outcome = buildPort();
    if (outcome != DECODED) return outcome;
  }
  return broken() ? refuse(RULE_MALFORMED) : DECODED;
}

function buildPort(): i32 {
  const index = listIndex++;
  if (index >= LIST_MAX) return refuse(RULE_TOO_MANY, LIST_PORTS);
  readPort();
  if (broken()) return DECODED;
  const protocol = portProtocol();
  if (!protocol) {
    problem(RULE_PROTOCOL, index, portProtocolAt, portProtocolLength);
    return DECODED;
  }
  if (portNumber < 1 || portNumber > 0xffff) {
    problemNumber(RULE_PORT, index, portNumber);
    return DECODED;
  }
  let nodePort = portNodePort;
  if (nodePort < 0 || nodePort > 0xffff) {
    problemNumber(RULE_NODE_PORT, index, nodePort);
    nodePort = 0;
  }
  return appendPort(index, protocol, nodePort);
}

/** Appends the port that was read last. */
function appendPort(index: u32, protocol: u32, nodePort: u32): i32 {
  const name = nameHold(portNameAt, portNameLength);
  if (name == NAME_NONE) return NO_MEMORY;
  const at = build(PORT_STRIDE);
  if (!at) {
    nameDrop(name);
    return NO_MEMORY;
  }
  store<u32>(at, name, PORT_NAME);
  store<u16>(at, portNumber, PORT_NUMBER);
  store<u16>(at, nodePort, PORT_NODE_PORT);
  store<u8>(at, protocol, PORT_PROTOCOL);
  setPortCount(servicePortCount(built()) + 1);
  dropDoubles(index, at);
  return DECODED;
}

/**
 * Removes duplicates: of two ports with the same name and protocol, or number and protocol, the
 * last one wins.
 */
function dropDoubles(index: u32, last: usize): void {
  for (let port = built() + listStart; port < last; ) {
    const same =
      load<u32>(port, PORT_NAME) == load<u32>(last, PORT_NAME) ||
      load<u16>(port, PORT_NUMBER) == load<u16>(last, PORT_NUMBER);
    if (!same || load<u8>(port, PORT_PROTOCOL) != load<u8>(last, PORT_PROTOCOL)) {
      port += PORT_STRIDE;
      continue;
    }
    problemNumber(RULE_DUPLICATE_PORT, index, load<u16>(last, PORT_NUMBER));
    nameDrop(load<u32>(port, PORT_NAME));
    memory.copy(port, port + PORT_STRIDE, last - port);
    last -= PORT_STRIDE;
    unbuild(PORT_STRIDE);
    setPortCount(servicePortCount(built()) - 1);
  }
}

function setPortCount(count: u32): void {
  store<u16>(built(), count, SERVICE_PORTS);
}
