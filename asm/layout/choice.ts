// Defines the result of selection for one port of a Service in one family.

// Record CHOICE, CHOICE_STRIDE = 28 bytes:
//    0 u32 SERVICE: its id              8 SPAN CLUSTER: endpoints for traffic that may go anywhere
//    4 u16 PORT_INDEX                  16 SPAN LOCAL: those for traffic that stays on this node
//    6 u8 FAMILY: 4 or 6               24 u32 READY_LOCAL: distinct addresses of Ready endpoints on
//    7 u8 FLAGS: CHOICE_FLAG_*            this node, of the whole Service (healthCheckNodePort)
export const CHOICE_SERVICE: usize = 0;
export const CHOICE_PORT_INDEX: usize = 4;
export const CHOICE_FAMILY: usize = 6;
export const CHOICE_FLAGS: usize = 7;
export const CHOICE_CLUSTER: usize = 8;
export const CHOICE_LOCAL: usize = 16;
export const CHOICE_READY_LOCAL: usize = 24;
export const CHOICE_STRIDE: usize = 28;

export const CHOICE_FLAG_USABLE: u32 = 1; // some endpoint is usable somewhere in the cluster
export const CHOICE_FLAG_SERVES_UNSELECTED: u32 = 2; // some endpoint serves but is neither Ready nor chosen

// Record SPAN, SPAN_BYTES = 8 bytes: endpoints in memory, ENDPOINT4 or ENDPOINT6 records
//    0 u32 POINTER    4 u32 COUNT
export const SPAN_POINTER: usize = 0;
export const SPAN_COUNT: usize = 4;
export const SPAN_BYTES: usize = 8;

// An endpoint has the form of the kernel's map value, so that nothing copies it twice.
//
// Record ENDPOINT4, ENDPOINT4_STRIDE = 8 bytes:
//    0 u8[4] IP    4 u16be PORT    6 u16 -
export const ENDPOINT4_IP: usize = 0;
export const ENDPOINT4_PORT: usize = 4;
export const ENDPOINT4_STRIDE: usize = 8;

// Record ENDPOINT6, ENDPOINT6_STRIDE = 20 bytes:
//    0 u8[16] IP    16 u16be PORT    18 u16 -
export const ENDPOINT6_IP: usize = 0;
export const ENDPOINT6_PORT: usize = 16;
export const ENDPOINT6_STRIDE: usize = 20;
