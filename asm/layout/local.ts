// Defines the addresses of endpoints on this node.

// Record LOCAL, LOCAL_BYTES = 28 bytes:
//    0 u32 HASH
//    4 u32 HOLDERS: rows of EndpointSlices that name it
//    8 u32 FAMILY: 4 or 6
//   12 u8[16] IP: network order, IPv4 in the first 4 bytes
export const LOCAL_HASH: usize = 0;
export const LOCAL_HOLDERS: usize = 4;
export const LOCAL_FAMILY: usize = 8;
export const LOCAL_IP: usize = 12;
export const LOCAL_BYTES: usize = 28;
