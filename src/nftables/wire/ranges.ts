/**
 * Converts the ends of ranges. In a set with ranges as whole keys, a range is two elements: the
 * first address, and the address after the last with NFT_SET_ELEM_INTERVAL_END.
 */

/** The next address; undefined after the highest one. */
export function addressAfter(address: Uint8Array): Uint8Array | undefined {
  return step(address, 0xff, 0, 1);
}

/** The previous address; undefined before the lowest one. */
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
