// What the host says before objects come: the seed of the hash; and the node we run on, whose name
// decides which endpoints are local and which node hints name us, and its zone, which may change
// while we run.

import { sameBytes } from "../memory/bytes";
import { hashSeed } from "../memory/hash";
import { allocate, release } from "../memory/heap";
import { setHintZone } from "./hints";
import { initServices } from "./services";
import { markZoneHintsDirty } from "./slices";

let nameAt: usize = 0;
let nameLength: usize = 0;

/** Called once, first. False if there is no memory. */
export function start(seedLow: u32, seedHigh: u32): bool {
  hashSeed(seedLow, seedHigh);
  return initServices();
}

/** Sets the node's name, before anything is fed: rows are judged when they are decoded. */
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
 * This node's zone, "" for none; what depends on zone hints is to be chosen anew. False if memory
 * cannot grow.
 */
export function setZone(at: usize, length: usize): bool {
  const changed = setHintZone(at, length);
  if (changed > 0) markZoneHintsDirty();
  return changed >= 0;
}
