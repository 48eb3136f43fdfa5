/**
 * The ends of ranges. A set whose whole key is a range has two elements for each: one at the first
 * address, and one at the address after the last, with NFT_SET_ELEM_INTERVAL_END.
 */

/** The next address; undefined after the last one there is. */
export function addressAfter(address: Uint8Array): Uint8Array | undefined {
  return step(address, 0xff, 0, 1);
}

/** The previous address; undefined before the first one there is. */
export function addressBefore(address: Uint8Array): Uint8Array | undefined {
  return step(address, 0, 0xff, -1);
}

function step(address: Uint8Array, over: number, to: number, by: number): Uint8Array | undefined {
  const stepped = address.slice();
  for (let i = stepped.length - 1; i >= 0; i--) {
    if (stepped[i] !== over) {
      stepped[i] = (stepped[i] as number) + by;
      return stepped;
    }
    stepped[i] = to;
  }
  return undefined;
}
