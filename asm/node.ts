// The node we run on: its name decides which endpoints are local and which node hints name us.

import { sameBytes } from "./bytes";
import { allocate, release } from "./heap";

let nameAt: usize = 0;
let nameLength: usize = 0;

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
