// What became of an object.

import { problem } from "./problems";

/** Decoded: a block stands in the builder. */
export const DECODED: i32 = 1;
/** Not for us (headless, another proxy's, a type without a Service): as if it did not exist. */
export const ABSENT: i32 = 2;
/** Cannot be used, and a problem was told: the tables keep what they have. */
export const REFUSED: i32 = 3;
/** Memory cannot grow. */
export const NO_MEMORY: i32 = -1;

/** Tells why an object is refused: a rule without a value. */
export function refuse(rule: i32, index: u32 = 0): i32 {
  problem(rule, index, 0, 0);
  return REFUSED;
}
