// Defines a Service as the host reads it, in one block of memory.

// Record SERVICE, SERVICE_HEADER = 28 bytes: then ADDRESS records in the order of their counts
// (clusterIPs, externalIPs, VIPs, source ranges), then PORT records
//    0 u32 SIZE: of the whole block, in bytes    16 u16 PORTS: how many
//    4 u32 CREATED: Unix seconds                 18 u16 CLUSTER_IPS
//    8 u32 AFFINITY_SECONDS: 0 = no affinity     20 u16 EXTERNAL_IPS
//   12 u16 HEALTH_CHECK_NODE_PORT: 0 = none      22 u16 VIPS: load balancer addresses, ipMode VIP
//   14 u8 TYPE: SERVICE_TYPE_*                   24 u16 SOURCE_RANGES
//   15 u8 FLAGS: SERVICE_FLAG_*                  26 u16 -
export const SERVICE_SIZE: usize = 0;
export const SERVICE_CREATED: usize = 4;
export const SERVICE_AFFINITY_SECONDS: usize = 8;
export const SERVICE_HEALTH_CHECK_NODE_PORT: usize = 12;
export const SERVICE_TYPE: usize = 14;
export const SERVICE_FLAGS: usize = 15;
export const SERVICE_PORTS: usize = 16;
export const SERVICE_CLUSTER_IPS: usize = 18;
export const SERVICE_EXTERNAL_IPS: usize = 20;
export const SERVICE_VIPS: usize = 22;
export const SERVICE_SOURCE_RANGES: usize = 24;
export const SERVICE_HEADER: usize = 28;

export const SERVICE_TYPE_CLUSTER_IP: u32 = 1;
export const SERVICE_TYPE_NODE_PORT: u32 = 2;
export const SERVICE_TYPE_LOAD_BALANCER: u32 = 3;

export const SERVICE_FLAG_EXTERNAL_LOCAL: u32 = 1; // externalTrafficPolicy is Local in the spec
export const SERVICE_FLAG_INTERNAL_LOCAL: u32 = 2; // internalTrafficPolicy is Local

// Record ADDRESS, ADDRESS_STRIDE = 20 bytes: an address or a range
//    0 u8 FAMILY: 4 or 6
//    1 u8 PREFIX: its length in bits, 32 or 128 for a plain address
//    2 u16 -
//    4 u8[16] IP: network order, IPv4 in the first 4 bytes
export const ADDRESS_FAMILY: usize = 0;
export const ADDRESS_PREFIX: usize = 1;
export const ADDRESS_IP: usize = 4;
export const ADDRESS_STRIDE: usize = 20;

// Record PORT, PORT_STRIDE = 12 bytes: one port of a Service
//    0 u32 NAME: name id        6 u16 NODE_PORT: 0 = none     9 u8[3] -
//    4 u16 NUMBER               8 u8 PROTOCOL: PROTOCOL_*
export const PORT_NAME: usize = 0;
export const PORT_NUMBER: usize = 4;
export const PORT_NODE_PORT: usize = 6;
export const PORT_PROTOCOL: usize = 8;
export const PORT_STRIDE: usize = 12;
