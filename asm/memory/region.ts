// Implements a memory block that grows by doubling. Growing moves it, so do not keep a pointer into
// it across a call that may grow it. The object itself is in static memory:
// region(memory.data(REGION_BYTES)).

import { allocate, release } from "./heap";

export const REGION_BYTES: usize = offsetof<Region>();

/** A region larger than this releases its memory after its batch. */
const KEEP: u32 = 1 << 18;
const SMALLEST: u32 = 256;

@unmanaged
export class Region {
  base: usize;
  capacity: u32;
  /** Number of bytes in use; growing preserves them. */
  length: u32;

  /** Ensures a capacity of `bytes`. Returns false, with nothing changed, if memory cannot grow. */
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

  /** Appends `bytes` bytes and returns their address; 0 if memory cannot grow. */
  extend(bytes: u32): usize {
    const from = this.length;
    if (!this.reserve(from + bytes)) return 0;
    this.length = from + bytes;
    return this.base + from;
  }

  /** Empties the region and returns large memory to the heap. */
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
