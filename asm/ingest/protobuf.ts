// A reader of protobuf wire format over bytes that may be hostile. One cursor; messages nest by narrowing
// its end. A fault is sticky: the cursor jumps to the end, every loop ends, and `broken()` tells.
//
//   for (; more(); ) switch (readTag()) { case TEXT | 1 << 3: readBytes(); … default: skipField() }
//
// A known field with another wire type than its own counts as unknown. Groups are refused: Kubernetes has none.

/** Entries of one list: a limit for hostile objects, far beyond what the API server's size limit lets live. */
export const LIST_MAX: u32 = 8192;

const WIRE_VARINT: u32 = 0;
const WIRE_BYTES: u32 = 2;

/** Where the bytes of the last `readBytes` are, and how many. */
export let bytesAt: usize = 0;
export let bytesLength: usize = 0;

let at: usize = 0;
let end: usize = 0;
let tag: u32 = 0;
let bad: bool = false;

/** Starts on a message. */
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
 * Passes over fields until one with this tag, to be read next; false at the end of the message. The call costs
 * 3 % of reading a slice, so decode-slice.ts has the loop spelt out.
 */
export function seek(wanted: u32): bool {
  while (more()) {
    if (readTag() == wanted) return true;
    skipField();
  }
  return false;
}

/** Field number << 3 | wire type; 0 after a fault. */
export function readTag(): u32 {
  const wide = readVarint();
  if (wide > 0xffff_ffff || wide >> 3 == 0) {
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

/** An int32 or bool; negative ones are ten bytes long on the wire. */
export function readInt(): i32 {
  return <i32>readVarint();
}

/** A string, bytes, or a message to be opened later: into `bytesAt` and `bytesLength`. */
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

/** Narrows to the message that starts here. Returns what `leaveMessage` wants. */
export function enterMessage(): usize {
  const outer = end;
  const length = readVarint();
  if (length > <u64>(end - at)) fail();
  else end = at + <usize>length;
  return outer;
}

/** Makes the last bytes read none, where a field may be absent. */
export function noBytes(): void {
  bytesLength = 0;
}

/** Goes back into the bytes just read, as a message. */
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

/** Passes over the field whose tag was read last. */
export function skipField(): void {
  const wire = tag & 7;
  if (wire == WIRE_BYTES) readBytes();
  else if (wire == WIRE_VARINT) readVarint();
  else if (wire == 1) pass(8);
  else if (wire == 5) pass(4);
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
