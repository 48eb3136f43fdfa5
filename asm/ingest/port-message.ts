// Reads a port message. ServicePort (core/v1) and EndpointPort (discovery/v1) share their first
// fields, so one function reads both.

import {
  FIELD_PORT_NAME,
  FIELD_PORT_NODE_PORT,
  FIELD_PORT_NUMBER,
  FIELD_PORT_PROTOCOL,
  WIRE_BITS,
  WIRE_BYTES,
  WIRE_VARINT,
} from "../layout/fields";
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from "../layout/key";
import { isText } from "../memory/bytes";
import {
  bytesAt,
  bytesLength,
  enterMessage,
  leaveMessage,
  more,
  readBytes,
  readInt,
  readTag,
  skipField,
} from "./protobuf";

const TAG_PORT_NAME: u32 = (FIELD_PORT_NAME << WIRE_BITS) | WIRE_BYTES;
const TAG_PORT_PROTOCOL: u32 = (FIELD_PORT_PROTOCOL << WIRE_BITS) | WIRE_BYTES;
const TAG_PORT_NUMBER: u32 = (FIELD_PORT_NUMBER << WIRE_BITS) | WIRE_VARINT;
const TAG_PORT_NODE_PORT: u32 = (FIELD_PORT_NODE_PORT << WIRE_BITS) | WIRE_VARINT;

// Result of the last `readPort`.
export let hasPortName: bool = false;
export let portNameAt: usize = 0;
export let portNameLength: usize = 0;
export let portProtocolAt: usize = 0;
export let portProtocolLength: usize = 0;
/** 0 if absent. */
export let portNumber: i32 = 0;
/** 0 if absent, as in every EndpointPort. */
export let portNodePort: i32 = 0;

/** Reads the port at the cursor. */
export function readPort(): void {
  hasPortName = false;
  portNameLength = 0;
  portProtocolLength = 0;
  portNumber = 0;
  portNodePort = 0;
  const outer = enterMessage();
  while (more()) {
    switch (readTag()) {
      case TAG_PORT_NAME:
        readBytes();
        hasPortName = true;
        portNameAt = bytesAt;
        portNameLength = bytesLength;
        break;
      case TAG_PORT_PROTOCOL:
        readBytes();
        portProtocolAt = bytesAt;
        portProtocolLength = bytesLength;
        break;
      case TAG_PORT_NUMBER:
        portNumber = readInt();
        break;
      case TAG_PORT_NODE_PORT:
        portNodePort = readInt();
        break;
      default:
        skipField();
    }
  }
  leaveMessage(outer);
}

/**
 * Returns the IP protocol number. It is TCP if absent, which is the API's default, and 0 if
 * unknown.
 */
export function portProtocol(): u32 {
  if (!portProtocolLength || isText(portProtocolAt, portProtocolLength, "TCP")) return PROTOCOL_TCP;
  if (isText(portProtocolAt, portProtocolLength, "UDP")) return PROTOCOL_UDP;
  if (isText(portProtocolAt, portProtocolLength, "SCTP")) return PROTOCOL_SCTP;
  return 0;
}
