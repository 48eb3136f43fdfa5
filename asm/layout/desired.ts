// Defines desired records. The host writes a sequence of them for a batch of owners; they describe
// the elements that should be in the kernel.

// Record DESIRED, DESIRED_HEADER = 8 bytes: then what its kind says
//    0 u8 KIND: DESIRED_ELEMENT, DESIRED_SLOTS or DESIRED_NUMBERS
//    1 u8 TABLE
//    2 u8 EVERYONE: a table of numbered endpoints; only in DESIRED_NUMBERS
//    3 u8 OUTSIDE: the same
//    4 u32 OWNER
//
// DESIRED_ELEMENT   key[keySize] value[valueSize]
// DESIRED_SLOTS     key[keySize - SLOT_NUMBER_BYTES] and a SPAN (choice.ts): one element for each
//                   endpoint, its slot number appended to the key. The core chooses the numbers, so
//                   that endpoints that stay keep theirs. Only for tables with slots.
// DESIRED_NUMBERS   the frontend's part of the key, and two SPANs: the endpoints that EVERYONE and
//                   OUTSIDE hold. TABLE holds the numbers of both. The core chooses a number for
//                   each endpoint, which keeps it while it is in one of the spans.
export const DESIRED_KIND: usize = 0;
export const DESIRED_TABLE: usize = 1;
export const DESIRED_EVERYONE: usize = 2;
export const DESIRED_OUTSIDE: usize = 3;
export const DESIRED_OWNER: usize = 4;
export const DESIRED_HEADER: usize = 8;

export const DESIRED_ELEMENT: u32 = 1;
export const DESIRED_SLOTS: u32 = 2;
export const DESIRED_NUMBERS: u32 = 3;
