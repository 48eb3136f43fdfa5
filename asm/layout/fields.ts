// Field numbers of the Kubernetes API's protobuf messages that the core or the host uses. Source:
// the generated.proto files of k8s.io/api core/v1 and discovery/v1, and of k8s.io/apimachinery
// meta/v1 and runtime.

/** `k8s\0` as a u32, which precedes every runtime.Unknown. */
export const UNKNOWN_MAGIC: u32 = 0x0073_386b;
export const UNKNOWN_MAGIC_BYTES: u32 = 4;

// A tag is (FIELD_* << WIRE_BITS) | WIRE_*. Wire types, the lowest WIRE_BITS of a tag:
export const WIRE_VARINT: u32 = 0;
export const WIRE_64: u32 = 1;
export const WIRE_BYTES: u32 = 2;
export const WIRE_32: u32 = 5;
export const WIRE_BITS: u32 = 3;
export const WIRE_MASK: u32 = 7;

// ── runtime ──

// Unknown: the envelope of every object and list
export const FIELD_UNKNOWN_TYPE_META: u32 = 1;
export const FIELD_UNKNOWN_RAW: u32 = 2;
// TypeMeta
export const FIELD_TYPE_META_API_VERSION: u32 = 1;
export const FIELD_TYPE_META_KIND: u32 = 2;
// RawExtension
export const FIELD_RAW_EXTENSION_RAW: u32 = 1;

// ── meta/v1 ──

// WatchEvent
export const FIELD_WATCH_EVENT_TYPE: u32 = 1;
export const FIELD_WATCH_EVENT_OBJECT: u32 = 2;
// Status
export const FIELD_STATUS_MESSAGE: u32 = 3;
export const FIELD_STATUS_REASON: u32 = 4;
export const FIELD_STATUS_CODE: u32 = 6;
// ServiceList, EndpointSliceList
export const FIELD_LIST_METADATA: u32 = 1;
export const FIELD_LIST_ITEMS: u32 = 2;
// ListMeta
export const FIELD_LIST_META_RESOURCE_VERSION: u32 = 2;
export const FIELD_LIST_META_CONTINUE: u32 = 3;
/** The ObjectMeta of every object. */
export const FIELD_OBJECT_METADATA: u32 = 1;
// ObjectMeta
export const FIELD_META_NAME: u32 = 1;
export const FIELD_META_NAMESPACE: u32 = 3;
export const FIELD_META_UID: u32 = 5;
export const FIELD_META_RESOURCE_VERSION: u32 = 6;
export const FIELD_META_CREATION_TIMESTAMP: u32 = 8;
export const FIELD_META_LABELS: u32 = 11;
export const FIELD_META_ANNOTATIONS: u32 = 12;
// Time
export const FIELD_TIME_SECONDS: u32 = 1;
// An entry of a map
export const FIELD_MAP_KEY: u32 = 1;
export const FIELD_MAP_VALUE: u32 = 2;

// ── core/v1 ──

// Service
export const FIELD_SERVICE_SPEC: u32 = 2;
export const FIELD_SERVICE_STATUS: u32 = 3;
// ServiceSpec
export const FIELD_SPEC_PORTS: u32 = 1;
export const FIELD_SPEC_CLUSTER_IP: u32 = 3;
export const FIELD_SPEC_TYPE: u32 = 4;
export const FIELD_SPEC_EXTERNAL_IPS: u32 = 5;
export const FIELD_SPEC_SESSION_AFFINITY: u32 = 7;
export const FIELD_SPEC_SOURCE_RANGES: u32 = 9;
export const FIELD_SPEC_EXTERNAL_POLICY: u32 = 11;
export const FIELD_SPEC_HEALTH_CHECK_NODE_PORT: u32 = 12;
export const FIELD_SPEC_AFFINITY_CONFIG: u32 = 14;
export const FIELD_SPEC_CLUSTER_IPS: u32 = 18;
export const FIELD_SPEC_INTERNAL_POLICY: u32 = 22;
// SessionAffinityConfig
export const FIELD_AFFINITY_CONFIG_CLIENT_IP: u32 = 1;
// ClientIPConfig
export const FIELD_CLIENT_IP_TIMEOUT: u32 = 1;
// ServicePort; EndpointPort of discovery/v1 has the same fields, except NODE_PORT
export const FIELD_PORT_NAME: u32 = 1;
export const FIELD_PORT_PROTOCOL: u32 = 2;
export const FIELD_PORT_NUMBER: u32 = 3;
export const FIELD_PORT_NODE_PORT: u32 = 5;
// ServiceStatus
export const FIELD_STATUS_LOAD_BALANCER: u32 = 1;
// LoadBalancerStatus
export const FIELD_LOAD_BALANCER_INGRESS: u32 = 1;
// LoadBalancerIngress
export const FIELD_INGRESS_IP: u32 = 1;
export const FIELD_INGRESS_IP_MODE: u32 = 3;

// ── discovery/v1 ──

// EndpointSlice
export const FIELD_SLICE_ENDPOINTS: u32 = 2;
export const FIELD_SLICE_PORTS: u32 = 3;
export const FIELD_SLICE_ADDRESS_TYPE: u32 = 4;
// Endpoint
export const FIELD_ENDPOINT_ADDRESSES: u32 = 1;
export const FIELD_ENDPOINT_CONDITIONS: u32 = 2;
export const FIELD_ENDPOINT_NODE_NAME: u32 = 6;
export const FIELD_ENDPOINT_HINTS: u32 = 8;
// EndpointConditions
export const FIELD_CONDITION_READY: u32 = 1;
export const FIELD_CONDITION_SERVING: u32 = 2;
export const FIELD_CONDITION_TERMINATING: u32 = 3;
// EndpointHints
export const FIELD_HINTS_FOR_ZONES: u32 = 1;
export const FIELD_HINTS_FOR_NODES: u32 = 2;
// ForZone, ForNode
export const FIELD_HINT_NAME: u32 = 1;
