// Decodes a list: `k8s\0` + Unknown { 1: TypeMeta, 2: raw: XxxList { 1: ListMeta, 2: items[] }, …
// }. Each item is ingested as soon as it is complete, so a list of any size needs memory for only
// one item.

import {
  FIELD_LIST_ITEMS,
  FIELD_LIST_META_CONTINUE,
  FIELD_LIST_META_RESOURCE_VERSION,
  FIELD_LIST_METADATA,
  UNKNOWN_MAGIC,
  UNKNOWN_MAGIC_BYTES,
  WIRE_32,
  WIRE_64,
  WIRE_BITS,
  WIRE_BYTES,
  WIRE_MASK,
  WIRE_VARINT,
} from "../layout/fields";
import {
  FEED_ERR_MALFORMED,
  FEED_ERR_MEMORY,
  FEED_LIST_END,
  FEED_LIST_META,
  FEED_OBJECTS,
  FEED_VERSION,
  KIND_SERVICE,
} from "../layout/stream";
import { isText } from "../memory/bytes";
import {
  isApiVersion,
  keepContinue,
  keepVersion,
  kindAt,
  kindLength,
  OBJECT_MAX,
  peeked,
  peekVarint,
  readTypeMeta,
  setConsumed,
  TAG_UNKNOWN_RAW,
  TAG_UNKNOWN_TYPE_META,
} from "./framing";
import { CHANGED, ingest } from "./ingest";
import { NO_MEMORY } from "./problems";
import {
  broken,
  bytesAt,
  bytesLength,
  more,
  openMessage,
  readBytes,
  readTag,
  skipField,
} from "./protobuf";

/** Tags of ServiceList, EndpointSliceList. */
const TAG_LIST_METADATA: u32 = (FIELD_LIST_METADATA << WIRE_BITS) | WIRE_BYTES;
const TAG_LIST_ITEMS: u32 = (FIELD_LIST_ITEMS << WIRE_BITS) | WIRE_BYTES;
const TAG_LIST_META_RESOURCE_VERSION: u32 =
  (FIELD_LIST_META_RESOURCE_VERSION << WIRE_BITS) | WIRE_BYTES;
const TAG_LIST_META_CONTINUE: u32 = (FIELD_LIST_META_CONTINUE << WIRE_BITS) | WIRE_BYTES;

const AT_START: u32 = 0;
const IN_UNKNOWN: u32 = 1;
/** In the envelope, after a TypeMeta that names the expected list. */
const TYPED: u32 = 2;
const IN_LIST: u32 = 3;
/** The rest of the envelope after the list is ignored. */
const AT_END: u32 = 4;

/**
 * The field at the list's cursor, which is complete in the buffer: its tag, and the address and
 * length of its value.
 */
let tag: u64 = 0;
let valueAt: usize = 0;
let valueLength: u64 = 0;

/**
 * Consumes everything that is complete. `state` and `rest` point to variables that keep the
 * position between chunks.
 */
export function feedList(
  stream: usize,
  kind: i32,
  state: usize,
  rest: usize,
  buffer: usize,
  length: u32,
): i32 {
  const end = buffer + length;
  let at = buffer;
  let result = 0;
  for (;;) {
    const now = load<u32>(state);
    if (now == AT_END) {
      at = end;
      break;
    }
    if (now == AT_START) {
      if (length < UNKNOWN_MAGIC_BYTES) break;
      if (load<u32>(at) != UNKNOWN_MAGIC) return FEED_ERR_MALFORMED;
      at += UNKNOWN_MAGIC_BYTES;
      store<u32>(state, IN_UNKNOWN);
      continue;
    }
    if (now == IN_LIST && !load<u32>(rest)) {
      store<u32>(state, AT_END);
      result |= FEED_LIST_END;
      continue;
    }
    const size = now == IN_LIST ? peekField(at, end) : peekUnknown(at, end);
    if (size < 0) return FEED_ERR_MALFORMED;
    if (!size) {
      if (now == IN_LIST && end - at >= <usize>load<u32>(rest)) return FEED_ERR_MALFORMED;
      break;
    }
    if (now != IN_LIST) {
      if (tag == TAG_UNKNOWN_RAW) {
        // A list of another kind may look like an empty one, and would remove every object.
        if (now != TYPED) return FEED_ERR_MALFORMED;
        store<u32>(state, IN_LIST);
        store<u32>(rest, <u32>valueLength);
      } else if (tag == TAG_UNKNOWN_TYPE_META) {
        if (!isList(kind)) return FEED_ERR_MALFORMED;
        store<u32>(state, TYPED);
      }
    } else {
      if (<u32>size > load<u32>(rest)) return FEED_ERR_MALFORMED;
      store<u32>(rest, load<u32>(rest) - size);
      const bits = feedField(stream, kind);
      if (bits < 0) return bits;
      result |= bits;
    }
    at += size;
  }
  setConsumed(<u32>(at - buffer));
  return result;
}

function feedField(stream: usize, kind: i32): i32 {
  if (tag == TAG_LIST_ITEMS) {
    const outcome = ingest(kind, valueAt, <usize>valueLength, false);
    return outcome == NO_MEMORY ? FEED_ERR_MEMORY : outcome == CHANGED ? FEED_OBJECTS : 0;
  }
  return tag == TAG_LIST_METADATA ? feedListMeta(stream) : 0;
}

function feedListMeta(stream: usize): i32 {
  let kept = keepVersion(stream, 0, 0) && keepContinue(stream, 0, 0);
  openMessage(valueAt, <usize>valueLength);
  while (more()) {
    const field = readTag();
    if (field == TAG_LIST_META_RESOURCE_VERSION) {
      readBytes();
      kept = keepVersion(stream, bytesAt, bytesLength) && kept;
    } else if (field == TAG_LIST_META_CONTINUE) {
      readBytes();
      kept = keepContinue(stream, bytesAt, bytesLength) && kept;
    } else skipField();
  }
  return broken() || !kept ? FEED_ERR_MALFORMED : FEED_LIST_META | FEED_VERSION;
}

/** Returns the size of the whole field at `at`; 0 if it is incomplete, -1 if it is invalid. */
function peekField(at: usize, end: usize): i32 {
  const tagBytes = peekVarint(at, end);
  if (tagBytes <= 0) return tagBytes;
  tag = peeked;
  if (tag >> WIRE_BITS == 0 || tag > 0xffff_ffff) return -1;
  const wire = <u32>tag & WIRE_MASK;
  if (wire == WIRE_64) return complete(tagBytes + sizeof<u64>(), at, end);
  if (wire == WIRE_32) return complete(tagBytes + sizeof<u32>(), at, end);
  if (wire != WIRE_VARINT && wire != WIRE_BYTES) return -1;
  const bytes = peekVarint(at + tagBytes, end);
  if (bytes <= 0 || wire == WIRE_VARINT) return bytes <= 0 ? bytes : tagBytes + bytes;
  valueLength = peeked;
  valueAt = at + tagBytes + bytes;
  return valueLength > OBJECT_MAX ? -1 : complete(tagBytes + bytes + <i32>valueLength, at, end);
}

/** Like `peekField`, but counts only tag and length if the field is the list itself. */
function peekUnknown(at: usize, end: usize): i32 {
  const tagBytes = peekVarint(at, end);
  if (tagBytes <= 0 || peeked != TAG_UNKNOWN_RAW) return peekField(at, end);
  const bytes = peekVarint(at + tagBytes, end);
  if (bytes <= 0) return bytes;
  tag = TAG_UNKNOWN_RAW;
  valueLength = peeked;
  return valueLength > 0x7fff_ffff ? -1 : tagBytes + bytes;
}

function complete(size: i32, at: usize, end: usize): i32 {
  return <usize>size > end - at ? 0 : size;
}

function isList(kind: i32): bool {
  openMessage(valueAt, <usize>valueLength);
  readTypeMeta();
  if (broken() || !isApiVersion(kind)) return false;
  return kind == KIND_SERVICE
    ? isText(kindAt, kindLength, "ServiceList")
    : isText(kindAt, kindLength, "EndpointSliceList");
}
