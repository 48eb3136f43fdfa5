// Defines streams, through which an HTTP body reaches the core.

// Kinds of API objects.
export const KIND_SERVICE: i32 = 1;
export const KIND_ENDPOINT_SLICE: i32 = 2;

/** One protobuf `k8s\0` + runtime.Unknown { raw: XxxList }, in any number of chunks. */
export const STREAM_LIST: u32 = 1;
/** Frames of u32be length + WatchEvent, in any number of chunks. */
export const STREAM_WATCH: u32 = 2;

/** Result bits of `streamFeed`: events since the last call. */
export const FEED_OBJECTS: i32 = 1; // at least one object was added, changed or removed
export const FEED_VERSION: i32 = 2; // VERSION is set, from the last event or from the list
export const FEED_INITIAL_END: i32 = 4; // the bookmark that ends WatchList's initial events
export const FEED_STATUS: i32 = 8; // an ERROR event; STATUS_CODE and MESSAGE are set
export const FEED_LIST_META: i32 = 16; // a list's metadata; VERSION and CONTINUE are set
export const FEED_LIST_END: i32 = 32; // the list has been read to its last byte
/** Negative results of `streamFeed`: the stream is unusable; objects ingested before stay. */
export const FEED_ERR_MALFORMED: i32 = -1; // truncated, overlong or contradictory framing
export const FEED_ERR_MEMORY: i32 = -2; // memory cannot grow

// Record STREAM, STREAM_BYTES = 4752 bytes: what the last `streamFeed` brought
//    0 u32 STATUS_CODE            16 u8[STREAM_VERSION_MAX] VERSION: a resourceVersion
//    4 u32 VERSION_LENGTH        144 u8[STREAM_MESSAGE_MAX] MESSAGE: of the status, cut if longer
//    8 u32 CONTINUE_LENGTH       656 u8[STREAM_CONTINUE_MAX] CONTINUE: a list's continue token
//   12 u32 MESSAGE_LENGTH
export const STREAM_STATUS_CODE: usize = 0;
export const STREAM_VERSION_LENGTH: usize = 4;
export const STREAM_CONTINUE_LENGTH: usize = 8;
export const STREAM_MESSAGE_LENGTH: usize = 12;
export const STREAM_VERSION: usize = 16;
export const STREAM_MESSAGE: usize = 144;
export const STREAM_CONTINUE: usize = 656;
export const STREAM_BYTES: usize = 4752;

export const STREAM_VERSION_MAX: u32 = 128;
export const STREAM_MESSAGE_MAX: u32 = 512;
export const STREAM_CONTINUE_MAX: u32 = 4096;
