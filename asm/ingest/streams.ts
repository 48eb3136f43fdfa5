// Streams: the bytes of an HTTP body, in whatever chunks, cut into objects.
//
// Record: STREAM_* fields of layout.ts for the host, then ours:
//    0 u32 buffer   4 u32 its size   8 u32 bytes in it   12 u32 kind   16 u32 format   20 u32 state
//   24 u32 bytes of the list not yet consumed            28 i32 what broke it, 0 = nothing

import { STREAM_HOST_BYTES, STREAM_LIST } from "../layout/layout";
import { allocate, release, resize } from "../memory/heap";
import { feedList } from "./feed-list";
import { feedWatch } from "./feed-watch";
import { consumed } from "./framing";

const BUFFER: usize = 0;
const SIZE: usize = 4;
const LENGTH: usize = 8;
const KIND: usize = 12;
const FORMAT: usize = 16;
const STATE: usize = 20;
const REST: usize = 24;
const FAILURE: usize = 28;
const RECORD_BYTES: usize = <usize>STREAM_HOST_BYTES + 32;
/** An emptied buffer larger than this is given back. */
const SIZE_KEPT: u32 = 0x4_0000;
const SIZE_MIN: u32 = 1024;
/** The most that one call takes. */
const RESERVE_MAX: u32 = 0x400_0000;

/** Opens a stream of objects of `kind`; 0 if memory cannot grow. */
export function streamOpen(kind: i32, format: i32): usize {
  const stream = allocate(RECORD_BYTES);
  if (!stream) return 0;
  memory.fill(stream, 0, RECORD_BYTES);
  const own = stream + STREAM_HOST_BYTES;
  store<u32>(own, kind, KIND);
  store<u32>(own, format, FORMAT);
  return stream;
}

/** Where to write the next `bytes`; 0 if memory cannot grow. */
export function streamReserve(stream: usize, bytes: u32): usize {
  const own = stream + STREAM_HOST_BYTES;
  const length = load<u32>(own, LENGTH);
  if (bytes > RESERVE_MAX) return 0;
  if (!load<u32>(own, SIZE) || length + bytes > load<u32>(own, SIZE)) {
    const wanted = max(SIZE_MIN, max(length + bytes, load<u32>(own, SIZE) << 1));
    const former: usize = load<u32>(own, BUFFER);
    const moved = former ? resize(former, load<u32>(own, SIZE), wanted) : allocate(wanted);
    if (!moved) return 0;
    store<u32>(own, moved, BUFFER);
    store<u32>(own, wanted, SIZE);
  }
  return load<u32>(own, BUFFER) + length;
}

/** Takes `bytes` of what was reserved. FEED_* bits, or FEED_ERR_*. */
export function streamFeed(stream: usize, bytes: u32): i32 {
  const own = stream + STREAM_HOST_BYTES;
  const failure = load<i32>(own, FAILURE);
  if (failure) return failure;
  const length = load<u32>(own, LENGTH) + bytes;
  assert(length <= load<u32>(own, SIZE), "fed more than was reserved");
  const buffer: usize = load<u32>(own, BUFFER);
  const result =
    load<u32>(own, FORMAT) == STREAM_LIST
      ? feedList(stream, load<u32>(own, KIND), own + STATE, own + REST, buffer, length)
      : feedWatch(stream, load<u32>(own, KIND), buffer, length);
  if (result < 0) {
    store<i32>(own, result, FAILURE);
    freeBuffer(own);
    return result;
  }
  const rest = length - consumed;
  if (rest) memory.copy(buffer, buffer + consumed, rest);
  store<u32>(own, rest, LENGTH);
  if (!rest && load<u32>(own, SIZE) > SIZE_KEPT) freeBuffer(own);
  return result;
}

export function streamClose(stream: usize): void {
  freeBuffer(stream + STREAM_HOST_BYTES);
  release(stream, RECORD_BYTES);
}

function freeBuffer(own: usize): void {
  release(load<u32>(own, BUFFER), load<u32>(own, SIZE));
  store<u32>(own, 0, BUFFER);
  store<u32>(own, 0, SIZE);
  store<u32>(own, 0, LENGTH);
}
