// Defines EndpointSlices, in one block of memory each, and the sets of topology hints that
// endpoints share. The host does not access them, but tests do.

// Record SLICE, SLICE_HEADER = 40 bytes: then SLICE_PORT records, then ENDPOINT records. The
// object's own data begin at FAMILY; the fields before it link and date the block
//    0 u32 NEXT: slice of the Service, 0 = last     24 u32 SIZE: of the whole block, in bytes
//    4 u32 PREVIOUS: 0 = first                      28 u32 EPOCH: in which it was last fed
//    8 u32 SERVICE: its id                          32 u8 FAMILY: 4 or 6
//   12 u32 KEY: name id of `namespace/name`         33 u8 FLAGS: SLICE_FLAG_*
//   16 u64 VERSION: hash of uid and                 34 u16 PORTS: how many
//          resourceVersion, 0 = none                36 u32 ENDPOINTS: how many
export const SLICE_NEXT: usize = 0;
export const SLICE_PREVIOUS: usize = 4;
export const SLICE_SERVICE: usize = 8;
export const SLICE_KEY: usize = 12;
export const SLICE_VERSION: usize = 16;
export const SLICE_SIZE: usize = 24;
export const SLICE_EPOCH: usize = 28;
export const SLICE_FAMILY: usize = 32;
export const SLICE_FLAGS: usize = 33;
export const SLICE_PORTS: usize = 34;
export const SLICE_ENDPOINTS: usize = 36;
export const SLICE_HEADER: usize = 40;

// Record SLICE_PORT, SLICE_PORT_STRIDE = 8 bytes:
//    0 u32 NAME: name id    4 u16 NUMBER    6 u8 PROTOCOL    7 u8 -
export const SLICE_PORT_NAME: usize = 0;
export const SLICE_PORT_NUMBER: usize = 4;
export const SLICE_PORT_PROTOCOL: usize = 6;
export const SLICE_PORT_STRIDE: usize = 8;

// Record ENDPOINT, ENDPOINT_HEADER = 8 bytes: then its address in the slice's family
//    0 u32 HINTS: pointer (hint-sets.ts), 0 = none
//    4 u32 FLAGS: ENDPOINT_READY and so on
//    8 u8[] IP
export const ENDPOINT_HINTS: usize = 0;
export const ENDPOINT_FLAGS: usize = 4;
export const ENDPOINT_IP: usize = 8;
export const ENDPOINT_HEADER: usize = 8;

export const SLICE_FLAG_ZONES: u32 = 1; // some endpoint has zone hints

export const ENDPOINT_READY: u32 = 1;
export const ENDPOINT_SERVING: u32 = 2;
export const ENDPOINT_TERMINATING: u32 = 4;
export const ENDPOINT_LOCAL: u32 = 8; // on this node

// Record HINTS, HINTS_HEADER = 16 bytes: a set; then the name ids of its zones, a u32 each, sorted,
// each zone once. Of forNodes only two facts matter, both in the flags
//    0 u32 HASH                                 8 u32 FLAGS: HINT_*
//    4 u32 HOLDERS: endpoints that have it     12 u32 ZONES: how many
export const HINTS_HASH: usize = 0;
export const HINTS_HOLDERS: usize = 4;
export const HINTS_FLAGS: usize = 8;
export const HINTS_ZONES: usize = 12;
export const HINTS_HEADER: usize = 16;

export const HINT_ZONES: u32 = 1; // has forZones
export const HINT_THIS_ZONE: u32 = 2; // and this node's zone is one of them
export const HINT_NODES: u32 = 4; // has forNodes
export const HINT_THIS_NODE: u32 = 8; // and this node is one of them
