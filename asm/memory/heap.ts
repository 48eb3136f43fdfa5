// Allocates records of any size, freed in any order. Blocks have no header; the caller of `release`
// passes the size.
//
// Each size class has a list of free blocks. There is a class every 8 bytes up to 128, then four
// per doubling, so at most a fifth of a block is wasted:
//
//   class    0   1  …  15 | 16  17  18  19 | 20  21  22  23 | …
//   bytes    8  16    128 | 160 192 224 256 | 320 384 448 512 | …
//
// If a list is empty, the block comes from a bump region: the end of memory, or a large free block
// that is cut up.

import { word } from "./bytes";

// Record FREE, FREE_BYTES = 8 bytes: the start of a free block
//    0 u32 NEXT: of the same list, 0 = last    4 u32 SIZE: only while blocks are joined
const FREE_NEXT: usize = 0;
const FREE_SIZE: usize = 4;
const FREE_BYTES: usize = 8;

const FINE_MAX: u32 = 128;
const FINE_CLASSES: u32 = 16;
const CLASSES: u32 = 112;
const LARGEST: u32 = 0x4000_0000;
/** Free blocks of at least this size may be cut up before memory grows. */
const CUTTABLE: u32 = 0x1_0000;
const PAGE_BITS: u32 = 16;
const GROW_PAGES_MIN: u32 = 16;
const GROW_PAGES_MAX: u32 = 512;
/** Enough for a list of 2^32 blocks. */
const RUNS: u32 = 32;

/** A u32 per class: its first free block, 0 = none. */
const lists: usize = memory.data(CLASSES << 2);
/** A u32 for each i: a sorted list of 2^i free blocks, 0 = none. */
const runs: usize = memory.data(RUNS << 2);
/** Precedes the first block of a list during a merge. */
const mergeHead: usize = memory.data(FREE_BYTES);
let bumpAt: usize = (__heap_base + 7) & ~7;
let bumpEnd: usize = (<usize>memory.size()) << 16;
let used: usize = 0;
/**
 * Bytes released since free blocks were last joined. Joining again makes sense only if this is
 * large enough.
 */
let freed: usize = 0;
let limitPages: u32 = 0xffff;

/**
 * Returns `size` bytes, 8-byte aligned and not cleared; 0 if memory cannot grow. A size of 0 counts
 * as 1.
 */
export function allocate(size: usize): usize {
  if (size > LARGEST) return 0;
  const kind = classOf(size);
  const list = word(lists, kind);
  const head = load<u32>(list);
  const bytes = classBytes(kind);
  if (head) {
    store<u32>(list, load<u32>(head, FREE_NEXT));
    used += bytes;
    return head;
  }
  if (bumpEnd - bumpAt < bytes && !refill(kind, bytes)) return 0;
  const block = bumpAt;
  bumpAt += bytes;
  used += bytes;
  return block;
}

/** Frees a block from `allocate(size)`. 0 is allowed and does nothing. */
export function release(block: usize, size: usize): void {
  if (!block) return;
  const kind = classOf(size);
  used -= classBytes(kind);
  freed += classBytes(kind);
  push(kind, block);
}

/**
 * Returns a block of `newSize` with the old content, and frees the old block. If memory cannot
 * grow, it returns 0 and leaves the old block unchanged.
 */
export function resize(block: usize, oldSize: usize, newSize: usize): usize {
  if (block && newSize <= LARGEST && classOf(oldSize) == classOf(newSize)) return block;
  const moved = allocate(newSize);
  if (!moved) return 0;
  memory.copy(moved, block, min(oldSize, newSize));
  release(block, oldSize);
  return moved;
}

/** Bytes in use, including the rounding up to size classes. */
export function heapUsed(): usize {
  return used;
}

/** Limits memory to this many pages of 64 KiB, for tests of memory exhaustion and for a budget. */
export function heapLimit(pages: u32): void {
  limitPages = pages;
}

function classOf(size: usize): u32 {
  if (size <= FINE_MAX) return size ? ((<u32>size + 7) >> 3) - 1 : 0;
  const last = <u32>size - 1;
  const bits = 31 - clz(last);
  return FINE_CLASSES + ((bits - 7) << 2) + ((last >> (bits - 2)) & 3);
}

function classBytes(kind: u32): usize {
  if (kind < FINE_CLASSES) return (kind + 1) << 3;
  const coarse = kind - FINE_CLASSES;
  return ((coarse & 3) + 5) << ((coarse >> 2) + 5);
}

function push(kind: u32, block: usize): void {
  const list = word(lists, kind);
  store<u32>(block, load<u32>(list), FREE_NEXT);
  store<u32>(list, block);
}

/**
 * Finds a bump region with room for `bytes`: a large free block, then new memory, then any free
 * block, joined if necessary.
 */
function refill(kind: u32, bytes: usize): bool {
  if (cut(max(kind, classOf(CUTTABLE))) || growMemory(bytes) || cut(kind + 1)) return true;
  if (freed < bytes) return false;
  freed = 0;
  scatter();
  joinFree();
  return cut(kind);
}

/** Turns the smallest free block of this class or a larger one into the bump region. */
function cut(kind: u32): bool {
  for (let larger = kind; larger < CLASSES; larger++) {
    const list = word(lists, larger);
    const block: usize = load<u32>(list);
    if (!block) continue;
    store<u32>(list, load<u32>(block, FREE_NEXT));
    scatter();
    bumpAt = block;
    bumpEnd = block + classBytes(larger);
    return true;
  }
  return false;
}

function growMemory(bytes: usize): bool {
  const pages = <u32>memory.size();
  const end: usize = (<usize>pages) << PAGE_BITS;
  const rest: usize = bumpEnd == end ? bumpEnd - bumpAt : 0;
  const need = <u32>((bytes - rest + 0xffff) >> PAGE_BITS);
  const step = max(need, min(max(pages >> 2, GROW_PAGES_MIN), GROW_PAGES_MAX));
  let grown = step;
  if (pages + step > limitPages || memory.grow(step) < 0) {
    if (pages + need > limitPages || memory.grow(need) < 0) return false;
    grown = need;
  }
  if (!rest) {
    scatter();
    bumpAt = end;
  }
  bumpEnd = end + ((<usize>grown) << PAGE_BITS);
  return true;
}

/** Moves the rest of the bump region to the lists. */
function scatter(): void {
  pushAll(bumpAt, bumpEnd - bumpAt);
  bumpAt = bumpEnd;
}

/** Cuts a region into the largest possible blocks and adds them to the lists. */
function pushAll(at: usize, bytes: usize): void {
  while (bytes >= FREE_BYTES) {
    let kind = min(classOf(min(bytes, LARGEST)), CLASSES - 1);
    if (classBytes(kind) > bytes) kind--;
    push(kind, at);
    at += classBytes(kind);
    bytes -= classBytes(kind);
  }
}

/**
 * Joins adjacent free blocks. It is slow, because it sorts all free blocks by address, so it runs
 * only if memory would otherwise run out.
 */
function joinFree(): void {
  let all: usize = 0;
  for (let kind: u32 = 0; kind < CLASSES; kind++) {
    const list = word(lists, kind);
    for (let block: usize = load<u32>(list); block; ) {
      const next: usize = load<u32>(block, FREE_NEXT);
      store<u32>(block, all, FREE_NEXT);
      store<u32>(block, classBytes(kind), FREE_SIZE);
      all = block;
      block = next;
    }
    store<u32>(list, 0);
  }
  for (let block = sortByAddress(all); block; ) {
    let bytes: usize = load<u32>(block, FREE_SIZE);
    let next: usize = load<u32>(block, FREE_NEXT);
    while (next == block + bytes) {
      bytes += load<u32>(next, FREE_SIZE);
      next = load<u32>(next, FREE_NEXT);
    }
    pushAll(block, bytes);
    block = next;
  }
}

/** Sorts a list by bottom-up merge sort. */
function sortByAddress(all: usize): usize {
  memory.fill(runs, 0, RUNS << 2);
  for (let block = all; block; ) {
    const next: usize = load<u32>(block, FREE_NEXT);
    store<u32>(block, 0, FREE_NEXT);
    let run = block;
    let i: u32 = 0;
    for (; load<u32>(word(runs, i)); i++) {
      run = merge(run, load<u32>(word(runs, i)));
      store<u32>(word(runs, i), 0);
    }
    store<u32>(word(runs, i), run);
    block = next;
  }
  let sorted: usize = 0;
  for (let i: u32 = 0; i < RUNS; i++) sorted = merge(sorted, load<u32>(word(runs, i)));
  return sorted;
}

function merge(a: usize, b: usize): usize {
  let tail = mergeHead;
  while (a && b) {
    const first = min(a, b);
    store<u32>(tail, first, FREE_NEXT);
    tail = first;
    if (first == a) a = load<u32>(a, FREE_NEXT);
    else b = load<u32>(b, FREE_NEXT);
  }
  store<u32>(tail, a ? a : b, FREE_NEXT);
  return load<u32>(mergeHead, FREE_NEXT);
}
