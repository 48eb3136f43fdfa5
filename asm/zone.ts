// The node's zone, which may change while we run.

import { setHintZone } from "./hints";
import { markZoneHintsDirty } from "./slices";

/** This node's zone, "" for none; what depends on zone hints is to be chosen anew. False if memory cannot grow. */
export function setZone(at: usize, length: usize): bool {
  const changed = setHintZone(at, length);
  if (changed > 0) markZoneHintsDirty();
  return changed >= 0;
}
