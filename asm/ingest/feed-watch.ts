// A watch: frames of u32be length + WatchEvent { 1: type, 2: RawExtension { 1: raw } }, whose raw is
// `k8s\0` + Unknown { 1: TypeMeta, 2: the object }.

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
} from "../layout/layout";
import { isText } from "../memory/bytes";
import {
  keepMessage,
  keepVersion,
  kindAt,
  kindLength,
  MAGIC,
  OBJECT_MAX,
  readKind,
  setConsumed,
} from "./framing";
import { CHANGED, ingest } from "./ingest";
import {
  clearMeta,
  META_INITIAL_END,
  metaFlags,
  metaVersionAt,
  metaVersionLength,
  readMeta,
} from "./meta";
import { NO_MEMORY } from "./outcome";
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

let typeAt: usize = 0;
let typeLength: usize = 0;
let objectAt: usize = 0;
let objectLength: usize = 0;

/** Consumes every complete frame of the buffer. FEED_* bits, or FEED_ERR_*. */
export function feedWatch(stream: usize, kind: i32, buffer: usize, length: u32): i32 {
  let result = 0;
  let at: u32 = 0;
  while (length - at >= 4) {
    const size = bswap<u32>(load<u32>(buffer + at));
    if (<u64>size > OBJECT_MAX) return FEED_ERR_MALFORMED;
    if (length - at - 4 < size) break;
    const bits = feedEvent(stream, kind, buffer + at + 4, size);
    if (bits < 0) return bits;
    result |= bits;
    at += 4 + size;
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

/** The envelopes, down to the object's bytes. */
function unwrap(at: usize, length: usize): bool {
  typeLength = 0;
  let rawAt: usize = 0;
  let rawLength: usize = 0;
  openMessage(at, length);
  while (more()) {
    const tag = readTag();
    if (tag == ((1 << 3) | 2)) {
      readBytes();
      typeAt = bytesAt;
      typeLength = bytesLength;
    } else if (tag == ((2 << 3) | 2)) {
      const outer = enterMessage();
      while (more()) {
        if (readTag() == ((1 << 3) | 2)) {
          readBytes();
          rawAt = bytesAt;
          rawLength = bytesLength;
        } else skipField();
      }
      leaveMessage(outer);
    } else skipField();
  }
  if (broken() || rawLength < 4 || load<u32>(rawAt) != MAGIC) return false;
  return unwrapUnknown(rawAt + 4, rawLength - 4);
}

function unwrapUnknown(at: usize, length: usize): bool {
  objectAt = at;
  objectLength = 0;
  let typed = false;
  openMessage(at, length);
  while (more()) {
    const tag = readTag();
    if (tag == ((1 << 3) | 2)) {
      const outer = enterMessage();
      readKind();
      leaveMessage(outer);
      typed = true;
    } else if (tag == ((2 << 3) | 2)) {
      readBytes();
      objectAt = bytesAt;
      objectLength = bytesLength;
    } else skipField();
  }
  return typed && !broken();
}

function isKind(kind: i32): bool {
  return kind == KIND_SERVICE
    ? isText(kindAt, kindLength, "Service")
    : isText(kindAt, kindLength, "EndpointSlice");
}

/** A bookmark is an object of the stream's kind with nothing but its metadata. */
function feedBookmark(stream: usize): i32 {
  clearMeta();
  openMessage(objectAt, objectLength);
  while (more()) {
    if (readTag() == ((1 << 3) | 2)) readMeta();
    else skipField();
  }
  if (broken() || !keepVersion(stream, metaVersionAt, metaVersionLength)) return FEED_ERR_MALFORMED;
  return (
    (metaVersionLength ? FEED_VERSION : 0) | (metaFlags & META_INITIAL_END ? FEED_INITIAL_END : 0)
  );
}

/** meta/v1 Status { 3: message, 6: code } */
function feedStatus(stream: usize): i32 {
  store<u32>(stream + STREAM_STATUS_CODE, 0);
  store<u32>(stream + STREAM_MESSAGE_LENGTH, 0);
  openMessage(objectAt, objectLength);
  while (more()) {
    const tag = readTag();
    if (tag == ((3 << 3) | 2)) {
      readBytes();
      keepMessage(stream, bytesAt, bytesLength);
    } else if (tag == ((6 << 3) | 0)) store<i32>(stream + STREAM_STATUS_CODE, readInt());
    else skipField();
  }
  return broken() ? FEED_ERR_MALFORMED : FEED_STATUS;
}
