/** A range that is a whole key ends, for the kernel, at the address behind its last one. */

/** The next address; undefined behind the very last one. */
export function addressBehind(address: Uint8Array): Uint8Array | undefined {
  return step(address, 0xff, 0, 1);
}

/** The address before; undefined before the very first one. */
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
