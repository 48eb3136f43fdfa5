// Computes SipHash-1-3 with a key derived from the host's seed. Names and addresses are untrusted,
// and an attacker must not be able to choose colliding keys.

let key0: u64 = 0x0706050403020100;
let key1: u64 = 0x0f0e0d0c0b0a0908;

/**
 * Sets the key. Call it before anything is hashed. The seed is random in production and fixed in
 * tests.
 */
export function hashSeed(low: u32, high: u32): void {
  let state = ((<u64>high) << 32) | low;
  state += 0x9e3779b97f4a7c15;
  key0 = splitmix(state);
  state += 0x9e3779b97f4a7c15;
  key1 = splitmix(state);
}

function splitmix(state: u64): u64 {
  let z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/**
 * Hashes any bytes to 64 bits. The round is written out twice, because a function cannot return its
 * four numbers. A single loop for the words and the end made decoding of Services 3 % slower.
 */
export function hash64(from: usize, length: usize): u64 {
  let v0 = key0 ^ 0x736f6d6570736575;
  let v1 = key1 ^ 0x646f72616e646f6d;
  let v2 = key0 ^ 0x6c7967656e657261;
  let v3 = key1 ^ 0x7465646279746573;
  const rest = length & 7;
  const whole = from + (length - rest);
  let at = from;
  // The last word holds the remaining bytes, and the length in its highest byte.
  let last = (<u64>length) << 56;
  if (rest) {
    if (length > sizeof<u64>())
      last |= load<u64>(whole + rest - sizeof<u64>()) >> (64 - ((<u64>rest) << 3));
    else
      for (let i: usize = 0; i < rest; i++) last |= (<u64>load<u8>(whole + i)) << ((<u64>i) << 3);
  }
  for (;;) {
    const word = at < whole ? load<u64>(at) : last;
    v3 ^= word;
    v0 += v1;
    v1 = rotl<u64>(v1, 13);
    v1 ^= v0;
    v0 = rotl<u64>(v0, 32);
    v2 += v3;
    v3 = rotl<u64>(v3, 16);
    v3 ^= v2;
    v0 += v3;
    v3 = rotl<u64>(v3, 21);
    v3 ^= v0;
    v2 += v1;
    v1 = rotl<u64>(v1, 17);
    v1 ^= v2;
    v2 = rotl<u64>(v2, 32);
    v0 ^= word;
    if (at >= whole) break;
    at += 8;
  }
  v2 ^= 0xff;
  for (let round = 0; round < 3; round++) {
    v0 += v1;
    v1 = rotl<u64>(v1, 13);
    v1 ^= v0;
    v0 = rotl<u64>(v0, 32);
    v2 += v3;
    v3 = rotl<u64>(v3, 16);
    v3 ^= v2;
    v0 += v3;
    v3 = rotl<u64>(v3, 21);
    v3 ^= v0;
    v2 += v1;
    v1 = rotl<u64>(v1, 17);
    v1 ^= v2;
    v2 = rotl<u64>(v2, 32);
  }
  return v0 ^ v1 ^ v2 ^ v3;
}

/** Returns the low half, which the hash tables use. */
export function hash32(from: usize, length: usize): u32 {
  return <u32>hash64(from, length);
}
