// Cuts the bytes of an HTTP body, which arrive in chunks of any size, into objects.
//
// A stream is a STREAM record for the host, followed by a BODY record.

import { STREAM_BYTES, STREAM_LIST } from "../layout/stream";
import { allocate, release, resize } from "../memory/heap";
import { feedList } from "./feed-list";
import { feedWatch } from "./feed-watch";
import { consumed } from "./framing";

// Record BODY, BODY_BYTES = 32 bytes:
//    0 u32 BUFFER: pointer, 0 = none    16 u32 FORMAT: STREAM_LIST or STREAM_WATCH
//    4 u32 SIZE: of the buffer          20 u32 STATE: of feedList
//    8 u32 LENGTH: bytes in it          24 u32 REST: bytes of the list not yet consumed
//   12 u32 KIND: KIND_*                 28 i32 FAILURE: FEED_ERR_*, 0 = none
const BODY_BUFFER: usize = 0;
const BODY_SIZE: usize = 4;
const BODY_LENGTH: usize = 8;
const BODY_KIND: usize = 12;
const BODY_FORMAT: usize = 16;
const BODY_STATE: usize = 20;
const BODY_REST: usize = 24;
const BODY_FAILURE: usize = 28;
const BODY_BYTES: usize = 32;

/** An empty buffer larger than this is released. */
const SIZE_KEPT: u32 = 0x4_0000;
const SIZE_MIN: u32 = 1024;
/** Maximum size of one reservation. */
const RESERVE_MAX: u32 = 0x400_0000;

/** Opens a stream of objects of `kind`; returns 0 if memory cannot grow. */
export function streamOpen(kind: i32, format: i32): usize {
  const stream = allocate(STREAM_BYTES + BODY_BYTES);
  if (!stream) return 0;
  memory.fill(stream, 0, STREAM_BYTES + BODY_BYTES);
  const body = stream + STREAM_BYTES;
  store<u32>(body, kind, BODY_KIND);
  store<u32>(body, format, BODY_FORMAT);
  return stream;
}

/** Returns the address for the next `bytes` bytes; 0 if memory cannot grow. */
export function streamReserve(stream: usize, bytes: u32): usize {
  const body = stream + STREAM_BYTES;
  const length = load<u32>(body, BODY_LENGTH);
  if (bytes > RESERVE_MAX) return 0;
  if (!load<u32>(body, BODY_SIZE) || length + bytes > load<u32>(body, BODY_SIZE)) {
    const wanted = max(SIZE_MIN, max(length + bytes, load<u32>(body, BODY_SIZE) << 1));
    const former: usize = load<u32>(body, BODY_BUFFER);
    const moved = former ? resize(former, load<u32>(body, BODY_SIZE), wanted) : allocate(wanted);
    if (!moved) return 0;
    store<u32>(body, moved, BODY_BUFFER);
    store<u32>(body, wanted, BODY_SIZE);
  }
  return load<u32>(body, BODY_BUFFER) + length;
}

/** Consumes `bytes` bytes of the reserved memory. Returns FEED_* bits, or FEED_ERR_*. */
export function streamFeed(stream: usize, bytes: u32): i32 {
  const body = stream + STREAM_BYTES;
  const failure = load<i32>(body, BODY_FAILURE);
  if (failure) return failure;
  const length = load<u32>(body, BODY_LENGTH) + bytes;
  assert(length <= load<u32>(body, BODY_SIZE), "fed more than was reserved");
  const buffer: usize = load<u32>(body, BODY_BUFFER);
  const result =
    load<u32>(body, BODY_FORMAT) == STREAM_LIST
      ? feedList(
          stream,
          load<u32>(body, BODY_KIND),
          body + BODY_STATE,
          body + BODY_REST,
          buffer,
          length,
        )
      : feedWatch(stream, load<u32>(body, BODY_KIND), buffer, length);
  if (result < 0) {
    store<i32>(body, result, BODY_FAILURE);
    freeBuffer(body);
    return result;
  }
  const rest = length - consumed;
  if (rest) memory.copy(buffer, buffer + consumed, rest);
  store<u32>(body, rest, BODY_LENGTH);
  if (!rest && load<u32>(body, BODY_SIZE) > SIZE_KEPT) freeBuffer(body);
  return result;
}

export function streamClose(stream: usize): void {
  freeBuffer(stream + STREAM_BYTES);
  release(stream, STREAM_BYTES + BODY_BYTES);
}

function freeBuffer(body: usize): void {
  release(load<u32>(body, BODY_BUFFER), load<u32>(body, BODY_SIZE));
  store<u32>(body, 0, BODY_BUFFER);
  store<u32>(body, 0, BODY_SIZE);
  store<u32>(body, 0, BODY_LENGTH);
}
