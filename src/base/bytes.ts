/**
 * Reads integers from a byte array without a DataView, which would allocate one more object for
 * each of many short arrays.
 */

/**
 * @throws RangeError if the number does not lie within `bytes`; so do all functions in this file
 */
export function readU8(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw outOfBounds(bytes, at, 1);
  return byte;
}

/** Reads a u16 in network byte order. */
export function readU16BE(bytes: Uint8Array, at: number): number {
  const high = bytes[at];
  const low = bytes[at + 1];
  if (high === undefined || low === undefined) throw outOfBounds(bytes, at, 2);
  return (high << 8) | low;
}

/** Reads a u32 in network byte order. */
export function readU32BE(bytes: Uint8Array, at: number): number {
  return readU16BE(bytes, at) * 0x10000 + readU16BE(bytes, at + 2);
}

/** Reads a u32 in host byte order, which is little-endian on every supported platform. */
export function readU32LE(bytes: Uint8Array, at: number): number {
  const lowest = bytes[at];
  const highest = bytes[at + 3];
  if (lowest === undefined || highest === undefined) throw outOfBounds(bytes, at, 4);
  const middle = ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);
  return (lowest | middle | (highest << 24)) >>> 0;
}

function outOfBounds(bytes: Uint8Array, at: number, length: number): RangeError {
  return new RangeError(
    `read ${length} bytes at offset ${at}: out of range (length ${bytes.length})`,
  );
}
