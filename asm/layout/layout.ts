// Every record that crosses the border, drawn once and read by both sides: the host imports this file
// too (it is plain constants), so the two cannot drift apart.
//
// All integers are little-endian (Wasm's order) except where a field is marked `be`: those bytes go to
// the kernel as they stand. Addresses are network order. Offsets and strides are bytes.

// ── Kinds of API object ─────────────────────────────────────────────────────────────────────────────
export const KIND_SERVICE: i32 = 1;
export const KIND_ENDPOINT_SLICE: i32 = 2;

// ── Streams: how an HTTP body reaches the core ──────────────────────────────────────────────────────
/** One protobuf `k8s\0` + runtime.Unknown { raw: XxxList }, in any number of chunks. */
export const STREAM_LIST: i32 = 1;
/** Frames of u32be length + WatchEvent, in any number of chunks. */
export const STREAM_WATCH: i32 = 2;

/** What `streamFeed` says happened since the last call, as bits. */
export const FEED_OBJECTS: i32 = 1; // at least one object was added, changed or removed
export const FEED_VERSION: i32 = 2; // streamVersion* holds the resourceVersion of the last event or of the list
export const FEED_INITIAL_END: i32 = 4; // the bookmark that ends WatchList's initial events
export const FEED_STATUS: i32 = 8; // an ERROR event: statusCode, statusMessage*
export const FEED_LIST_META: i32 = 16; // a list's metadata: streamVersion*, streamContinue*
export const FEED_LIST_END: i32 = 32; // the list was read to its last byte
/** Negative results of `streamFeed`: the stream is beyond use; already ingested objects stay. */
export const FEED_ERR_MALFORMED: i32 = -1; // truncated, overlong or contradicting bytes of the framing
export const FEED_ERR_MEMORY: i32 = -2; // memory could not grow

/** Offsets in the record that `streamOpen` returns: what the last `streamFeed` brought. */
export const STREAM_STATUS_CODE: i32 = 0; // u32
export const STREAM_VERSION_LENGTH: i32 = 4; // u32
export const STREAM_CONTINUE_LENGTH: i32 = 8; // u32
export const STREAM_MESSAGE_LENGTH: i32 = 12; // u32
export const STREAM_VERSION: i32 = 16;
export const STREAM_VERSION_MAX: i32 = 128;
export const STREAM_MESSAGE: i32 = 144; // cut if longer
export const STREAM_MESSAGE_MAX: i32 = 512;
export const STREAM_CONTINUE: i32 = 656;
export const STREAM_CONTINUE_MAX: i32 = 4096;
export const STREAM_HOST_BYTES: i32 = 4752;

// ── Problems: what was wrong with an object, a sequence of records ───────────────────────────────────
//  0 u8 kind of object · 1 u8 rule · 2 u16 bytes of its `namespace/name` · 4 u16 bytes of the value · 6 u16 0
//  8 u32 index in the list at fault · 12 name, then value; padded to 4
export const PROBLEM_HEADER: i32 = 12;
/** Longer values are cut. */
export const PROBLEM_VALUE_MAX: i32 = 256;
/** More of one object are not told. */
export const PROBLEMS_PER_OBJECT: i32 = 32;
export const PROBLEM_MENDED: i32 = 0; // former problems of this object are void
// Rules, whose field and wording the host knows (src/core/problems.ts). First those that refuse the object:
export const PROBLEM_MALFORMED: i32 = 1;
export const PROBLEM_NAME: i32 = 2;
export const PROBLEM_TYPE: i32 = 3;
export const PROBLEM_TOO_MANY: i32 = 4;
export const PROBLEM_SERVICE_LABEL: i32 = 5;
export const PROBLEM_ADDRESS_TYPE: i32 = 6;
// and those that skip or replace one value:
export const PROBLEM_CLUSTER_IP: i32 = 10;
export const PROBLEM_EXTERNAL_IP: i32 = 11;
export const PROBLEM_INGRESS_IP: i32 = 12;
export const PROBLEM_SOURCE_RANGE: i32 = 13;
export const PROBLEM_PORT: i32 = 14;
export const PROBLEM_NODE_PORT: i32 = 15;
export const PROBLEM_PROTOCOL: i32 = 16;
export const PROBLEM_DUPLICATE_PORT: i32 = 17;
export const PROBLEM_EXTERNAL_POLICY: i32 = 18;
export const PROBLEM_INTERNAL_POLICY: i32 = 19;
export const PROBLEM_AFFINITY: i32 = 20;
export const PROBLEM_AFFINITY_TIMEOUT: i32 = 21;
export const PROBLEM_HEALTH_PORT: i32 = 22;
export const PROBLEM_ENDPOINT_ADDRESS: i32 = 30;
export const PROBLEM_ENDPOINT_PORT: i32 = 31;
export const PROBLEM_ENDPOINT_PROTOCOL: i32 = 32;

// ── Service block: header, then addresses, then ports ───────────────────────────────────────────────
//  0 u32 size of the whole block          16 u16 ports
//  4 u32 created, unix seconds            18 u16 clusterIPs
//  8 u32 affinity seconds, 0 = none       20 u16 externalIPs
// 12 u16 healthCheckNodePort              22 u16 load balancer VIPs (ipMode VIP)
// 14 u8  type                             24 u16 source ranges
// 15 u8  flags                            26 u16 0
// 28 addresses[clusterIPs + externalIPs + vips + ranges], 20 bytes each; then ports[], 12 bytes each
export const SERVICE_HEADER: i32 = 28;
export const SERVICE_TYPE_CLUSTER_IP: i32 = 1;
export const SERVICE_TYPE_NODE_PORT: i32 = 2;
export const SERVICE_TYPE_LOAD_BALANCER: i32 = 3;
export const SERVICE_FLAG_EXTERNAL_LOCAL: i32 = 1; // externalTrafficPolicy: Local, as written
export const SERVICE_FLAG_INTERNAL_LOCAL: i32 = 2; // internalTrafficPolicy: Local

// Address: 0 u8 family (4, 6) · 1 u8 prefix length (32 or 128 for a plain address) · 4 addr[16], IPv4 in the first 4
export const ADDRESS_STRIDE: i32 = 20;
// Port: 0 u32 name id · 4 u16 port · 6 u16 nodePort · 8 u8 protocol (6, 17, 132)
export const PORT_STRIDE: i32 = 12;

// ── Choice: what selection found for one service port in one family, 28 bytes ───────────────────────
//  0 u32 service id     8 u32 cluster endpoints: pointer     16 u32 local endpoints: pointer
//  4 u16 port index    12 u32 cluster endpoints: count       20 u32 local endpoints: count
//  6 u8  family         7 u8 flags                           24 u32 distinct Ready local addresses of the
//                                                                   whole Service (healthCheckNodePort)
export const CHOICE_STRIDE: i32 = 28;
export const CHOICE_FLAG_USABLE: i32 = 1; // some endpoint is usable somewhere in the cluster
export const CHOICE_FLAG_LINGERS: i32 = 2; // some endpoint serves that is neither Ready nor chosen
// An endpoint is written as the kernel's map value wants it, so that nobody copies it twice:
// IPv4: addr[4] port be16 0 0 — 8 bytes; IPv6: addr[16] port be16 0 0 — 20 bytes.
export const ENDPOINT4_STRIDE: i32 = 8;
export const ENDPOINT6_STRIDE: i32 = 20;

// ── Desired: a sequence of records, written by the host for a batch of owners ───────────────────────
// An owner is a Service id, or OWNER_NODE for what belongs to the node itself. Each record starts
//  0 u8 record kind · 1 u8 table · 2 u16 0 · 4 u32 owner, then
// ELEMENT: key[keySize(table)] value[valueSize(table)]
// SLOTS:   key[keySize(table) - 4] pointer u32 count u32: one element for each endpoint, its slot number
//          appended to the key (u32 host order). The core chooses the slot numbers, so that endpoints
//          that stay keep theirs. Only for tables of slots.
export const RECORD_ELEMENT: i32 = 1;
export const RECORD_SLOTS: i32 = 2;
export const RECORD_HEADER: i32 = 8;
export const OWNER_NODE: i32 = 0;
/** Elements read from the kernel at start that no owner has claimed yet. */
export const OWNER_ADOPTED: i32 = 0x7fffffff;
/** In place of an owner, where elements are compared: this one is what is committed. */
export const COMPARED_SAME: i32 = -1;
/** One diff deletes no more of these than this: what another cluster left behind may be any number. */
export const LEFTOVERS_AT_ONCE: u32 = 20000;

// ── Operations: what diff wants done, in the order of the owners of the batch ───────────────────────
//  0 u8 operation · 1 u8 table · 2 u16 0 · 4 u32 owner · 8 key[keySize] · value[valueSize] (the new one for
//  ADD, the present one for DELETE). A changed value is a DELETE followed by an ADD of the same key.
export const OP_ADD: i32 = 1;
export const OP_DELETE: i32 = 2;
export const OP_HEADER: i32 = 8;

// ── Tables: what the core is told of each at start, 4 bytes, by table id ────────────────────────────
//  0 u8 keySize · 1 u8 valueSize · 2 u8 flags · 3 u8 0
export const TABLE_NAMES_OWNER: i32 = 1; // the kernel element names its owner: another owner is another element
export const TABLE_SLOTS: i32 = 2; // keys end in a slot number; RECORD_SLOTS only
export const TABLE_LEADS: i32 = 4; // frontend → action, or what is refused: says whose frontend it is
export const TABLE_NODE_ADDRESSES: i32 = 8; // where node ports listen

// ── Flows: a pass over the kernel's entries of connection tracking ──────────────────────────────────
/** Which dumps a pass needs, as bits; IPv6 is one further left. */
export const FLOWS_UDP4: i32 = 1;
export const FLOWS_UDP6: i32 = 2;
export const FLOWS_TCP4: i32 = 4;
export const FLOWS_TCP6: i32 = 8;
// What came of one chunk of a dump (struct nlmsghdr and so on, as recv(2) has it), 24 bytes:
//  0 u32 entries read     8 u32 FLOWS_CHUNK_*    16 u32 messages that delete the condemned: pointer
//  4 u32 condemned       12 i32 errno, 0 = none  20 u32 their bytes
export const FLOWS_CHUNK_END: i32 = 1; // the dump is over
export const FLOWS_CHUNK_INTERRUPTED: i32 = 2; // the kernel's table changed so that entries may be missing
export const FLOWS_CHUNK_CUT: i32 = 4; // the chunk ends within a message
/** struct nfgenmsg */
export const NFGENMSG: i32 = 4;
/** enum ip_conntrack_status */
export const IPS_SEEN_REPLY: i32 = 2;
