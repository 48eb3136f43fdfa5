// Defines the record of one committed element.

// Record ELEMENT, ELEMENT_HEADER = 28 bytes: then its value[valueSize]
//    0 u32 OWNER                          12 u32 EPOCH: of the last diff that wanted or deleted it
//    4 u32 NEXT: of this owner, 0 = last  16 u64 PACKETS: last reading, or PACKETS_UNKNOWN
//    8 u32 PREVIOUS: 0 = first            24 u32 TABLE
//   28 u8[] KEY: keySize bytes
export const ELEMENT_OWNER: usize = 0;
export const ELEMENT_NEXT: usize = 4;
export const ELEMENT_PREVIOUS: usize = 8;
export const ELEMENT_EPOCH: usize = 12;
export const ELEMENT_PACKETS: usize = 16;
export const ELEMENT_TABLE: usize = 24;
export const ELEMENT_KEY: usize = 28;
export const ELEMENT_HEADER: usize = 28;

/**
 * Marks the counter of an adopted element. It started at an unknown time, so its first reading
 * becomes the baseline.
 */
export const PACKETS_UNKNOWN: u64 = 0xffffffffffffffff;
