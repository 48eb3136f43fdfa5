// Stores the facts that the host provides before any objects: the hash seed, the node's name and
// its zone. The name decides which endpoints are local and which node hints apply. The zone may
// change at runtime.

import { sameBytes } from "../memory/bytes";
import { hashSeed } from "../memory/hash";
import { allocate, release } from "../memory/heap";
import { setHintZone } from "./hint-sets";
import { initServices } from "./services";
import { markZoneHintsDirty } from "./slices";

let nameAt: usize = 0;
let nameLength: usize = 0;

/** Must be the first call, and happens once. Returns false if there is no memory. */
export function start(seedLow: u32, seedHigh: u32): bool {
  hashSeed(seedLow, seedHigh);
  return initServices();
}

/** Sets the node's name. Call it before anything is fed, because decoding uses it. */
export function setNodeName(at: usize, length: usize): bool {
  const copy = allocate(length);
  if (!copy) return false;
  memory.copy(copy, at, length);
  release(nameAt, nameLength);
  nameAt = copy;
  nameLength = length;
  return true;
}

export function isThisNode(at: usize, length: usize): bool {
  return length != 0 && length == nameLength && sameBytes(at, nameAt, length);
}

/**
 * Sets this node's zone; "" for none. A change marks all Services with zone hints dirty. Returns
 * false if memory cannot grow.
 */
export function setZone(at: usize, length: usize): bool {
  const changed = setHintZone(at, length);
  if (changed > 0) markZoneHintsDirty();
  return changed >= 0;
}
