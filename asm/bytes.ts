// Comparing bytes, eight at a time.

/** Are these `length` bytes the same? */
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

/** Is this text, of `length` bytes at `at`, the literal? ASCII only; the literal costs no memory at run time. */
// @ts-ignore: decorator
@inline
export function isText(at: usize, length: usize, literal: string): bool {
  if (length != <usize>literal.length) return false;
  for (let i = 0; i < literal.length; i++) {
    if (<u16>load<u8>(at + i) != load<u16>(changetype<usize>(literal) + (<usize>i << 1))) return false;
  }
  return true;
}
