// Comparing and moving a few bytes, eight at a time: a memory.copy or memory.fill costs a call, which for
// an address is most of the work.

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

/** Copies an address of 16 bytes. */
export function copy16(to: usize, from: usize): void {
  store<u64>(to, load<u64>(from));
  store<u64>(to, load<u64>(from, 8), 8);
}

/** Clears a few bytes; `length` is a multiple of 4. */
export function clearWords(at: usize, length: usize): void {
  for (let i: usize = 0; i < length; i += 4) store<u32>(at + i, 0);
}

/** Is this text, of `length` bytes at `at`, the literal? ASCII only; the literal costs no memory at run time. */
export function isText(at: usize, length: usize, literal: string): bool {
  if (length != <usize>literal.length) return false;
  for (let i = 0; i < literal.length; i++) {
    if (<u16>load<u8>(at + i) != load<u16>(changetype<usize>(literal) + ((<usize>i) << 1)))
      return false;
  }
  return true;
}
