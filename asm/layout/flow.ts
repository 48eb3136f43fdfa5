// Defines a pass over the kernel's connection tracking entries.

/** The dumps that a pass needs, as bits; IPv6 is one bit to the left. */
export const FLOWS_UDP4: i32 = 1;
export const FLOWS_UDP6: i32 = 2;
export const FLOWS_TCP4: i32 = 4;
export const FLOWS_TCP6: i32 = 8;

// Record FLOWS_RANGE4, FLOWS_RANGE4_STRIDE = 8 bytes: local addresses that serve node ports
//    0 u8[4] FIRST    4 u8[4] LAST
// Record FLOWS_RANGE6, FLOWS_RANGE6_STRIDE = 32 bytes: the same
//    0 u8[16] FIRST    16 u8[16] LAST
export const FLOWS_RANGE4_FIRST: usize = 0;
export const FLOWS_RANGE4_LAST: usize = 4;
export const FLOWS_RANGE4_STRIDE: usize = 8;
export const FLOWS_RANGE6_FIRST: usize = 0;
export const FLOWS_RANGE6_LAST: usize = 16;
export const FLOWS_RANGE6_STRIDE: usize = 32;

// Record FLOWS_RESULT, FLOWS_RESULT_BYTES = 24 bytes: the result of one chunk. A chunk is a
// datagram of netlink messages as recv(2) returns it
//    0 u32 ENTRIES: read                     12 i32 ERRNO: 0 = none
//    4 u32 STALE: entries to delete          16 u32 DELETIONS: messages that delete them, a pointer
//    8 u32 FLAGS: FLOWS_CHUNK_*              20 u32 DELETIONS_LENGTH: in bytes
export const FLOWS_RESULT_ENTRIES: usize = 0;
export const FLOWS_RESULT_STALE: usize = 4;
export const FLOWS_RESULT_FLAGS: usize = 8;
export const FLOWS_RESULT_ERRNO: usize = 12;
export const FLOWS_RESULT_DELETIONS: usize = 16;
export const FLOWS_RESULT_DELETIONS_LENGTH: usize = 20;
export const FLOWS_RESULT_BYTES: usize = 24;

export const FLOWS_CHUNK_END: u32 = 1; // the dump has ended
export const FLOWS_CHUNK_INTERRUPTED: u32 = 2; // the kernel's table changed: entries may be missing
export const FLOWS_CHUNK_CUT: u32 = 4; // the chunk ends inside a message

/** enum ip_conntrack_status */
export const IPS_SEEN_REPLY: u32 = 2;
