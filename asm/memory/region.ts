// A block of memory that grows by doubling. Growing moves it, so nobody keeps a pointer into one
// across a call that may grow it. The object itself lies in static memory:
// region(memory.data(REGION_BYTES)).

import { allocate, release } from "./heap";

export const REGION_BYTES: usize = offsetof<Region>();

/** A region that is larger than this gives its memory back once its batch is done. */
const KEEP: u32 = 1 << 18;
const SMALLEST: u32 = 256;

@unmanaged
export class Region {
  base: usize;
  capacity: u32;
  /** Bytes in use; growing keeps these. */
  length: u32;

  /** Room for `bytes` in all. False when memory cannot grow; then nothing has changed. */
  reserve(bytes: u32): bool {
    if (bytes <= this.capacity) return true;
    if (bytes > 1 << 30) return false;
    let capacity: u32 = max(this.capacity, SMALLEST);
    while (capacity < bytes) capacity <<= 1;
    const base = allocate(capacity);
    if (!base) return false;
    if (this.base) {
      memory.copy(base, this.base, this.length);
      release(this.base, this.capacity);
    }
    this.base = base;
    this.capacity = capacity;
    return true;
  }

  /** Appends room for `bytes` and returns where it starts; 0 when memory cannot grow. */
  extend(bytes: u32): usize {
    const from = this.length;
    if (!this.reserve(from + bytes)) return 0;
    this.length = from + bytes;
    return this.base + from;
  }

  /** Empties it; what was large goes back to the heap. */
  clear(): void {
    this.length = 0;
    if (this.capacity > KEEP) {
      release(this.base, this.capacity);
      this.base = 0;
      this.capacity = 0;
    }
  }
}

export function region(at: usize): Region {
  return changetype<Region>(at);
}
