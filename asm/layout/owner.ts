// Defines owners. Every element in the kernel has exactly one: a Service (its id) or one of these.

/** Owns the elements of the node itself. */
export const OWNER_NODE: i32 = 0;
/**
 * Owns elements that were read from the kernel, at start or in a repair, and not claimed by an
 * owner yet.
 */
export const OWNER_ADOPTED: i32 = 0x7fffffff;
/**
 * Maximum number of elements of OWNER_ADOPTED that one diff deletes. Another cluster may have left
 * any number.
 */
export const LEFTOVERS_AT_ONCE: u32 = 20000;
