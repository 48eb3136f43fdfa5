// Reads the protobuf wire format from bytes that may be hostile. There is one cursor; entering a
// nested message narrows its end. A fault is sticky: the cursor jumps to the end, every loop
// terminates, and `broken()` returns true.
//
//   while (more()) {
//     switch (readTag()) {
//       case TAG_SPEC_TYPE:
//         readBytes();
//         …
//       default:
//         skipField();
//     }
//   }
//
// A tag is a field number and a wire type: TAG_SPEC_TYPE = (FIELD_SPEC_TYPE << WIRE_BITS) |
// WIRE_BYTES (layout/fields.ts). A known field with an unexpected wire type counts as unknown.
// Groups are refused; Kubernetes has none. Tags are written as constant expressions, because
// `switch` needs constants and AssemblyScript does not evaluate calls at compile time.
//
// The files in this folder return more than one number through module globals. Each global is valid
// until a later call replaces it. Addresses in messages are valid at most until the stream's chunk
// is consumed.
//
//   result                                  is replaced by
//   bytesAt, bytesLength                    readBytes, noBytes; skipField and seek may call it
//   port* (port-message.ts)                 readPort
//   kindAt, apiVersionAt (framing.ts)        readTypeMeta
//   peeked (framing.ts)                     peekVarint
//   consumed (framing.ts)                   setConsumed, once for each feedList or feedWatch
//   meta* (meta.ts)                         clearMeta, readMeta, voidMetaVersion
//   objectKey, serviceKey (meta.ts)         composeKey, composeServiceKey; clearMeta empties them
//   parsed* (text.ts)                       parseAddress, parseRange
//   readSet (decode-slice.ts)               readHints
//   built() (memory/builder.ts)             buildStart, and every build, which may move the block

import { WIRE_32, WIRE_64, WIRE_BITS, WIRE_BYTES, WIRE_MASK, WIRE_VARINT } from "../layout/fields";

/**
 * Maximum number of entries in one list. It guards against hostile objects and is far above what
 * the API server's size limit permits.
 */
export const LIST_MAX: u32 = 8192;

/** Address and length of the bytes that the last `readBytes` read. */
export let bytesAt: usize = 0;
export let bytesLength: usize = 0;

let at: usize = 0;
let end: usize = 0;
let tag: u32 = 0;
let bad: bool = false;

/** Opens a message. */
export function openMessage(from: usize, length: usize): void {
  at = from;
  end = from + length;
  bad = false;
}

export function broken(): bool {
  return bad;
}

export function more(): bool {
  return at < end;
}

/**
 * Skips fields up to one with this tag; the caller reads it next. Returns false at the end of the
 * message. The call costs 3 % of reading a slice, so decode-slice.ts contains the loop inline.
 */
export function seek(wanted: u32): bool {
  while (more()) {
    if (readTag() == wanted) return true;
    skipField();
  }
  return false;
}

/** Reads a field's tag; returns 0 after a fault. */
export function readTag(): u32 {
  const wide = readVarint();
  if (wide > 0xffff_ffff || wide >> WIRE_BITS == 0) {
    fail();
    tag = 0;
  } else tag = <u32>wide;
  return tag;
}

export function readVarint(): u64 {
  if (at < end) {
    const first = load<u8>(at);
    if (first < 0x80) {
      at++;
      return first;
    }
  }
  let value: u64 = 0;
  for (let shift: u64 = 0; shift < 70; shift += 7) {
    if (at >= end) break;
    const byte = load<u8>(at++);
    if (shift == 63 && byte > 1) break;
    value |= (<u64>(byte & 0x7f)) << shift;
    if (byte < 0x80) return value;
  }
  fail();
  return 0;
}

/** Reads an int32 or bool. A negative number has ten bytes on the wire. */
export function readInt(): i32 {
  return <i32>readVarint();
}

/** Reads a string, bytes, or a message to open later into `bytesAt` and `bytesLength`. */
export function readBytes(): void {
  const length = readVarint();
  bytesAt = at;
  if (length > <u64>(end - at)) {
    fail();
    bytesLength = 0;
    return;
  }
  bytesLength = <usize>length;
  at += bytesLength;
}

/** Narrows the end to the message at the cursor. Pass the result to `leaveMessage`. */
export function enterMessage(): usize {
  const outer = end;
  const length = readVarint();
  if (length > <u64>(end - at)) fail();
  else end = at + <usize>length;
  return outer;
}

/** Clears the result of `readBytes`, for a field that may be absent. */
export function noBytes(): void {
  bytesLength = 0;
}

/** Opens the bytes just read as a message. */
export function enterBytes(): usize {
  const outer = end;
  at = bytesAt;
  end = bytesAt + bytesLength;
  return outer;
}

export function leaveMessage(outer: usize): void {
  at = bad ? outer : end;
  end = outer;
}

/** Skips the field with the last tag read. */
export function skipField(): void {
  const wire = tag & WIRE_MASK;
  if (wire == WIRE_BYTES) readBytes();
  else if (wire == WIRE_VARINT) readVarint();
  else if (wire == WIRE_64) pass(sizeof<u64>());
  else if (wire == WIRE_32) pass(sizeof<u32>());
  else fail();
}

function pass(length: usize): void {
  if (end - at < length) fail();
  else at += length;
}

function fail(): void {
  bad = true;
  at = end;
}
