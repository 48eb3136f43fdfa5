// Compares and moves a few bytes, eight at a time. A memory.copy or memory.fill costs a call, which
// for an address is most of the work. Also computes the addresses of numbers in arrays.

export const IPV4_BYTES: usize = 4;
export const IPV6_BYTES: usize = 16;
/** Offset of the second u64 in 16 bytes. */
export const HALF: usize = 8;

/** Returns the size of an address of family 4 or 6. */
export function ipBytes(family: u32): usize {
  return family == 4 ? IPV4_BYTES : IPV6_BYTES;
}

/** Returns the address of the u32 at this index in an array. */
export function word(array: usize, index: u32): usize {
  return array + ((<usize>index) << 2);
}

/** Returns the size of an array of u32. */
export function wordsBytes(count: u32): usize {
  return (<usize>count) << 2;
}

/** Returns the address of the u64 or f64 at this index in an array. */
export function doubleWord(array: usize, index: u32): usize {
  return array + ((<usize>index) << 3);
}

/** Returns the size of an array of u64 or f64. */
export function doubleWordsBytes(count: u32): usize {
  return (<usize>count) << 3;
}

/** Reports whether both sequences of `length` bytes are equal. */
export function sameBytes(a: usize, b: usize, length: usize): bool {
  let at: usize = 0;
  while (at + 8 <= length) {
    if (load<u64>(a + at) != load<u64>(b + at)) return false;
    at += 8;
  }
  while (at < length) {
    if (load<u8>(a + at) != load<u8>(b + at)) return false;
    at++;
  }
  return true;
}

/** Copies a 16-byte address. */
export function copy16(to: usize, from: usize): void {
  store<u64>(to, load<u64>(from));
  store<u64>(to, load<u64>(from, HALF), HALF);
}

/** Clears a few bytes; `length` is a multiple of 4. */
export function clearWords(at: usize, length: usize): void {
  for (let i: usize = 0; i < length; i += 4) store<u32>(at + i, 0);
}

/**
 * Reports whether the text of `length` bytes at `at` equals the literal, which must be ASCII. The
 * literal costs no memory at runtime.
 */
export function isText(at: usize, length: usize, literal: string): bool {
  if (length != <usize>literal.length) return false;
  for (let i = 0; i < literal.length; i++) {
    if (<u16>load<u8>(at + i) != load<u16>(changetype<usize>(literal) + <usize>i * sizeof<u16>()))
      return false;
  }
  return true;
}
