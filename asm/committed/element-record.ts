// What is kept of one committed element.

// ── Element record ──────────────────────────────────────────────────────────────────────────────────
//  0 u32 owner                        12 u32 epoch of the last diff that wanted or deleted it
//  4 u32 next element of this owner   16 u64 packets at the last reading, or PACKETS_UNKNOWN
//  8 u32 previous one                 24 u32 table
// 28 key[keySize] value[valueSize]
export const ELEMENT_OWNER: usize = 0;
export const ELEMENT_NEXT: usize = 4;
export const ELEMENT_PREVIOUS: usize = 8;
export const ELEMENT_EPOCH: usize = 12;
export const ELEMENT_PACKETS: usize = 16;
export const ELEMENT_TABLE: usize = 24;
export const ELEMENT_KEY: usize = 28;
