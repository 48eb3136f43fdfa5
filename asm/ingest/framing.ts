// Shared by both formats: reads numbers that the end of a chunk may cut off, and stores texts for
// the host.

import {
  FIELD_TYPE_META_API_VERSION,
  FIELD_TYPE_META_KIND,
  FIELD_UNKNOWN_RAW,
  FIELD_UNKNOWN_TYPE_META,
  WIRE_BITS,
  WIRE_BYTES,
} from "../layout/fields";
import {
  KIND_SERVICE,
  STREAM_CONTINUE,
  STREAM_CONTINUE_LENGTH,
  STREAM_CONTINUE_MAX,
  STREAM_MESSAGE,
  STREAM_MESSAGE_LENGTH,
  STREAM_MESSAGE_MAX,
  STREAM_VERSION,
  STREAM_VERSION_LENGTH,
  STREAM_VERSION_MAX,
} from "../layout/stream";
import { isText } from "../memory/bytes";
import { bytesAt, bytesLength, more, readBytes, readTag, skipField } from "./protobuf";

/** Tags of runtime.Unknown, the envelope of every object and list. */
export const TAG_UNKNOWN_TYPE_META: u32 = (FIELD_UNKNOWN_TYPE_META << WIRE_BITS) | WIRE_BYTES;
export const TAG_UNKNOWN_RAW: u32 = (FIELD_UNKNOWN_RAW << WIRE_BITS) | WIRE_BYTES;
const TAG_TYPE_META_API_VERSION: u32 = (FIELD_TYPE_META_API_VERSION << WIRE_BITS) | WIRE_BYTES;
const TAG_TYPE_META_KIND: u32 = (FIELD_TYPE_META_KIND << WIRE_BITS) | WIRE_BYTES;

/** Larger objects and frames are hostile: the API server's store accepts 1.5 MB. */
export const OBJECT_MAX: u64 = 0x100_0000;

/** Number of buffer bytes that the last feed consumed. */
export let consumed: u32 = 0;

export function setConsumed(bytes: u32): void {
  consumed = bytes;
}

/** Value that the last `peekVarint` read. */
export let peeked: u64 = 0;

/** Returns the size of the varint at `at`; 0 if `end` cuts it off, -1 if it is overlong. */
export function peekVarint(at: usize, end: usize): i32 {
  let value: u64 = 0;
  for (let i = 0; i < 10; i++) {
    if (at + i >= end) return 0;
    const byte = load<u8>(at + i);
    if (i == 9 && byte > 1) return -1;
    value |= (<u64>(byte & 0x7f)) << (<u64>i * 7);
    if (byte < 0x80) {
      peeked = value;
      return i + 1;
    }
  }
  return -1;
}

export function keepVersion(stream: usize, at: usize, length: usize): bool {
  return keep(stream, at, length, STREAM_VERSION, STREAM_VERSION_LENGTH, STREAM_VERSION_MAX);
}

export function keepContinue(stream: usize, at: usize, length: usize): bool {
  return keep(stream, at, length, STREAM_CONTINUE, STREAM_CONTINUE_LENGTH, STREAM_CONTINUE_MAX);
}

export function keepMessage(stream: usize, at: usize, length: usize): void {
  keep(
    stream,
    at,
    min<usize>(length, STREAM_MESSAGE_MAX),
    STREAM_MESSAGE,
    STREAM_MESSAGE_LENGTH,
    STREAM_MESSAGE_MAX,
  );
}

/** Reads a TypeMeta, from the cursor to the end of the message. */
export function readTypeMeta(): void {
  kindLength = 0;
  apiVersionLength = 0;
  while (more()) {
    const tag = readTag();
    if (tag == TAG_TYPE_META_KIND) {
      readBytes();
      kindAt = bytesAt;
      kindLength = bytesLength;
    } else if (tag == TAG_TYPE_META_API_VERSION) {
      readBytes();
      apiVersionAt = bytesAt;
      apiVersionLength = bytesLength;
    } else skipField();
  }
}

/** Results of `readTypeMeta`. */
export let kindAt: usize = 0;
export let kindLength: usize = 0;
let apiVersionAt: usize = 0;
let apiVersionLength: usize = 0;

/** Reports whether the TypeMeta that was read last names this API version, or none. */
export function isApiVersion(kind: i32): bool {
  if (!apiVersionLength) return true;
  return kind == KIND_SERVICE
    ? isText(apiVersionAt, apiVersionLength, "v1")
    : isText(apiVersionAt, apiVersionLength, "discovery.k8s.io/v1");
}

function keep(
  stream: usize,
  at: usize,
  length: usize,
  place: usize,
  lengthPlace: usize,
  most: usize,
): bool {
  if (length > most) return false;
  memory.copy(stream + place, at, length);
  store<u32>(stream + lengthPlace, length);
  return true;
}
