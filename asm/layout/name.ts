// Defines interned names. The host reads them directly from memory: `nameDirectory` is an array of
// u32 that maps an id to the block of its name.

// Record NAME, NAME_HEADER = 20 bytes: 8-byte aligned
//    0 u32 HASH
//    4 u32 HOLDERS
//    8 u32 SERVICE: id of the Service of this name, 0 = none
//   12 u32 SLICE: pointer to the EndpointSlice of this name, 0 = none
//   16 u32 LENGTH
//   20 u8[] TEXT: UTF-8
export const NAME_HASH: usize = 0;
export const NAME_HOLDERS: usize = 4;
export const NAME_SERVICE: usize = 8;
export const NAME_SLICE: usize = 12;
export const NAME_LENGTH: usize = 16;
export const NAME_TEXT: usize = 20;
export const NAME_HEADER: usize = 20;
