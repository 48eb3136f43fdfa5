// Decodes a watch: frames of u32be length + WatchEvent { 1: type, 2: RawExtension { 1: raw } },
// where raw is `k8s\0` + Unknown { 1: TypeMeta, 2: the object }.

import {
  FIELD_RAW_EXTENSION_RAW,
  FIELD_STATUS_CODE,
  FIELD_STATUS_MESSAGE,
  FIELD_WATCH_EVENT_OBJECT,
  FIELD_WATCH_EVENT_TYPE,
  UNKNOWN_MAGIC,
  UNKNOWN_MAGIC_BYTES,
  WIRE_BITS,
  WIRE_BYTES,
  WIRE_VARINT,
} from "../layout/fields";
import {
  FEED_ERR_MALFORMED,
  FEED_ERR_MEMORY,
  FEED_INITIAL_END,
  FEED_OBJECTS,
  FEED_STATUS,
  FEED_VERSION,
  KIND_SERVICE,
  STREAM_MESSAGE_LENGTH,
  STREAM_STATUS_CODE,
} from "../layout/stream";
import { isText } from "../memory/bytes";
import {
  isApiVersion,
  keepMessage,
  keepVersion,
  kindAt,
  kindLength,
  OBJECT_MAX,
  readTypeMeta,
  setConsumed,
  TAG_UNKNOWN_RAW,
  TAG_UNKNOWN_TYPE_META,
} from "./framing";
import { CHANGED, ingest } from "./ingest";
import {
  clearMeta,
  META_INITIAL_END,
  metaFlags,
  metaVersionAt,
  metaVersionLength,
  readMeta,
  TAG_OBJECT_METADATA,
} from "./meta";
import { NO_MEMORY } from "./problems";
import {
  broken,
  bytesAt,
  bytesLength,
  enterMessage,
  leaveMessage,
  more,
  openMessage,
  readBytes,
  readInt,
  readTag,
  skipField,
} from "./protobuf";

/** Tags of meta/v1. */
const TAG_WATCH_EVENT_TYPE: u32 = (FIELD_WATCH_EVENT_TYPE << WIRE_BITS) | WIRE_BYTES;
const TAG_WATCH_EVENT_OBJECT: u32 = (FIELD_WATCH_EVENT_OBJECT << WIRE_BITS) | WIRE_BYTES;
const TAG_RAW_EXTENSION_RAW: u32 = (FIELD_RAW_EXTENSION_RAW << WIRE_BITS) | WIRE_BYTES;
const TAG_STATUS_MESSAGE: u32 = (FIELD_STATUS_MESSAGE << WIRE_BITS) | WIRE_BYTES;
const TAG_STATUS_CODE: u32 = (FIELD_STATUS_CODE << WIRE_BITS) | WIRE_VARINT;

/** A frame starts with its length, a u32be. */
const FRAME_HEADER: u32 = 4;

let typeAt: usize = 0;
let typeLength: usize = 0;
let objectAt: usize = 0;
let objectLength: usize = 0;

/** Consumes every complete frame in the buffer. Returns FEED_* bits, or FEED_ERR_*. */
export function feedWatch(stream: usize, kind: i32, buffer: usize, length: u32): i32 {
  let result = 0;
  let at: u32 = 0;
  while (length - at >= FRAME_HEADER) {
    const size = bswap<u32>(load<u32>(buffer + at));
    if (<u64>size > OBJECT_MAX) return FEED_ERR_MALFORMED;
    if (length - at - FRAME_HEADER < size) break;
    const bits = feedEvent(stream, kind, buffer + at + FRAME_HEADER, size);
    if (bits < 0) return bits;
    result |= bits;
    at += FRAME_HEADER + size;
  }
  setConsumed(at);
  return result;
}

function feedEvent(stream: usize, kind: i32, at: usize, length: u32): i32 {
  if (!unwrap(at, length)) return FEED_ERR_MALFORMED;
  if (isText(typeAt, typeLength, "ERROR") || isText(kindAt, kindLength, "Status"))
    return feedStatus(stream);
  if (!isKind(kind)) return FEED_ERR_MALFORMED;
  if (isText(typeAt, typeLength, "BOOKMARK")) return feedBookmark(stream);
  const deleted = isText(typeAt, typeLength, "DELETED");
  if (!deleted && !isText(typeAt, typeLength, "ADDED") && !isText(typeAt, typeLength, "MODIFIED"))
    return FEED_ERR_MALFORMED;
  const outcome = ingest(kind, objectAt, objectLength, deleted);
  if (outcome == NO_MEMORY) return FEED_ERR_MEMORY;
  let result = outcome == CHANGED ? FEED_OBJECTS : 0;
  if (metaVersionLength && keepVersion(stream, metaVersionAt, metaVersionLength))
    result |= FEED_VERSION;
  return result;
}

/** Unwraps the envelopes down to the object's bytes. */
function unwrap(at: usize, length: usize): bool {
  typeLength = 0;
  let rawAt: usize = 0;
  let rawLength: usize = 0;
  openMessage(at, length);
  while (more()) {
    const tag = readTag();
    if (tag == TAG_WATCH_EVENT_TYPE) {
      readBytes();
      typeAt = bytesAt;
      typeLength = bytesLength;
    } else if (tag == TAG_WATCH_EVENT_OBJECT) {
      const outer = enterMessage();
      while (more()) {
        if (readTag() == TAG_RAW_EXTENSION_RAW) {
          readBytes();
          rawAt = bytesAt;
          rawLength = bytesLength;
        } else skipField();
      }
      leaveMessage(outer);
    } else skipField();
  }
  if (broken() || rawLength < UNKNOWN_MAGIC_BYTES || load<u32>(rawAt) != UNKNOWN_MAGIC)
    return false;
  return unwrapUnknown(rawAt + UNKNOWN_MAGIC_BYTES, rawLength - UNKNOWN_MAGIC_BYTES);
}

function unwrapUnknown(at: usize, length: usize): bool {
  objectAt = at;
  objectLength = 0;
  let typed = false;
  openMessage(at, length);
  while (more()) {
    const tag = readTag();
    if (tag == TAG_UNKNOWN_TYPE_META) {
      const outer = enterMessage();
      readTypeMeta();
      leaveMessage(outer);
      typed = true;
    } else if (tag == TAG_UNKNOWN_RAW) {
      readBytes();
      objectAt = bytesAt;
      objectLength = bytesLength;
    } else skipField();
  }
  return typed && !broken();
}

function isKind(kind: i32): bool {
  if (!isApiVersion(kind)) return false;
  return kind == KIND_SERVICE
    ? isText(kindAt, kindLength, "Service")
    : isText(kindAt, kindLength, "EndpointSlice");
}

/** A bookmark is an object of the stream's kind that has only metadata. */
function feedBookmark(stream: usize): i32 {
  clearMeta();
  openMessage(objectAt, objectLength);
  while (more()) {
    if (readTag() == TAG_OBJECT_METADATA) readMeta();
    else skipField();
  }
  if (broken() || !keepVersion(stream, metaVersionAt, metaVersionLength)) return FEED_ERR_MALFORMED;
  return (
    (metaVersionLength ? FEED_VERSION : 0) | (metaFlags & META_INITIAL_END ? FEED_INITIAL_END : 0)
  );
}

function feedStatus(stream: usize): i32 {
  store<u32>(stream, 0, STREAM_STATUS_CODE);
  store<u32>(stream, 0, STREAM_MESSAGE_LENGTH);
  openMessage(objectAt, objectLength);
  while (more()) {
    const tag = readTag();
    if (tag == TAG_STATUS_MESSAGE) {
      readBytes();
      keepMessage(stream, bytesAt, bytesLength);
    } else if (tag == TAG_STATUS_CODE) store<i32>(stream, readInt(), STREAM_STATUS_CODE);
    else skipField();
  }
  return broken() ? FEED_ERR_MALFORMED : FEED_STATUS;
}
