// What became of an object.

/** Decoded: a block stands in the builder. */
export const DECODED: i32 = 1;
/** Not for us (headless, another proxy's, a type without a Service): as if it did not exist. */
export const ABSENT: i32 = 2;
/** Cannot be used, and a problem was told: the tables keep what they have. */
export const REFUSED: i32 = 3;
/** Memory cannot grow. */
export const NO_MEMORY: i32 = -1;
