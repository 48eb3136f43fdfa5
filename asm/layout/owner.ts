// Owners: every element in the kernel has exactly one, a Service (its id) or one of these.

/** What belongs to the node itself. */
export const OWNER_NODE: i32 = 0;
/** Elements read from the kernel at start that no owner has claimed yet. */
export const OWNER_ADOPTED: i32 = 0x7fffffff;
/** One diff deletes at most this many of them: another cluster may have left any number behind. */
export const LEFTOVERS_AT_ONCE: u32 = 20000;
