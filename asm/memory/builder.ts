// Provides a growing scratch region in which a block is built before it replaces an old one.

import { clearWords } from "./bytes";
import { allocate, release, resize } from "./heap";

const SIZE_MIN: usize = 4096;
/** If one huge object made the region larger than this, it is released. */
const SIZE_KEPT: usize = 0x4_0000;

let base: usize = 0;
let size: usize = 0;
let length: usize = 0;

/** Empties the region. */
export function buildStart(): void {
  if (size > SIZE_KEPT) {
    release(base, size);
    base = 0;
    size = 0;
  }
  length = 0;
}

/**
 * Appends `bytes` cleared bytes (a multiple of 4); returns 0 if memory cannot grow. The address is
 * valid until the next `build`.
 */
export function build(bytes: usize): usize {
  if (length + bytes > size) {
    const wanted = max(SIZE_MIN, max(size << 1, length + bytes));
    const moved = base ? resize(base, size, wanted) : allocate(wanted);
    if (!moved) return 0;
    base = moved;
    size = wanted;
  }
  const at = base + length;
  clearWords(at, bytes);
  length += bytes;
  return at;
}

/** Removes the last `bytes` bytes. */
export function unbuild(bytes: usize): void {
  length -= bytes;
}

export function built(): usize {
  return base;
}

export function builtLength(): usize {
  return length;
}
