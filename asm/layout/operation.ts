// Defines operations: the changes that a diff needs in the kernel, in the order of its batch's
// owners.

// Record OP, OP_HEADER = 8 bytes: then key[keySize] value[valueSize], the new value to add or the
// present one to delete
//    0 u8 KIND: OP_ADD or OP_DELETE
//    1 u8 TABLE
//    2 u16 -
//    4 u32 OWNER
export const OP_KIND: usize = 0;
export const OP_TABLE: usize = 1;
export const OP_OWNER: usize = 4;
export const OP_HEADER: usize = 8;

/** A changed value is an OP_DELETE followed by an OP_ADD with the same key. */
export const OP_ADD: u32 = 1;
export const OP_DELETE: u32 = 2;
