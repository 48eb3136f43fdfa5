// Defines desired records. The host writes a sequence of them for a batch of owners; they describe
// the elements that should be in the kernel.

// Record DESIRED, DESIRED_HEADER = 8 bytes: then what its kind says
//    0 u8 KIND: DESIRED_ELEMENT or DESIRED_SLOTS
//    1 u8 TABLE
//    2 u16 -
//    4 u32 OWNER
//
// DESIRED_ELEMENT   key[keySize] value[valueSize]
// DESIRED_SLOTS     key[keySize - SLOT_NUMBER_BYTES] and a SPAN (choice.ts): one element for each
//                   endpoint, its slot number appended to the key. The core chooses the numbers, so
//                   that endpoints that stay keep theirs. Only for tables with slots.
export const DESIRED_KIND: usize = 0;
export const DESIRED_TABLE: usize = 1;
export const DESIRED_OWNER: usize = 4;
export const DESIRED_HEADER: usize = 8;

export const DESIRED_ELEMENT: u32 = 1;
export const DESIRED_SLOTS: u32 = 2;
