// Defines problem records: a sequence that describes errors in API objects.

// Record PROBLEM, PROBLEM_HEADER = 12 bytes: then the object's `namespace/name` and the value at
// fault, padded to PROBLEM_ALIGN
//    0 u8 KIND: KIND_* (stream.ts)    4 u16 VALUE_LENGTH
//    1 u8 RULE: RULE_*                6 u16 -
//    2 u16 NAME_LENGTH                8 u32 INDEX: in the list at fault, 0 where there is none
export const PROBLEM_KIND: usize = 0;
export const PROBLEM_RULE: usize = 1;
export const PROBLEM_NAME_LENGTH: usize = 2;
export const PROBLEM_VALUE_LENGTH: usize = 4;
export const PROBLEM_INDEX: usize = 8;
export const PROBLEM_HEADER: usize = 12;

export const PROBLEM_ALIGN: u32 = 4;
/** Longer values are truncated. */
export const PROBLEM_VALUE_MAX: u32 = 256;
/** Further problems of the same object are not reported. */
export const PROBLEMS_PER_OBJECT: i32 = 32;

// Lists, as the INDEX of a RULE_TOO_MANY.
export const LIST_CLUSTER_IPS: u32 = 0;
export const LIST_EXTERNAL_IPS: u32 = 1;
export const LIST_INGRESS: u32 = 2;
export const LIST_SOURCE_RANGES: u32 = 3;
export const LIST_PORTS: u32 = 4;

// Rules. The host defines their fields and wording (src/core/problem-records.ts).
export const RULE_RESOLVED: i32 = 0; // the object's earlier problems are void
// These refuse the object.
export const RULE_MALFORMED: i32 = 1;
export const RULE_NAME: i32 = 2;
export const RULE_TYPE: i32 = 3;
export const RULE_TOO_MANY: i32 = 4;
export const RULE_SERVICE_LABEL: i32 = 5;
export const RULE_ADDRESS_TYPE: i32 = 6;
// These skip or replace one value.
export const RULE_CLUSTER_IP: i32 = 10;
export const RULE_EXTERNAL_IP: i32 = 11;
export const RULE_INGRESS_IP: i32 = 12;
export const RULE_SOURCE_RANGE: i32 = 13;
export const RULE_PORT: i32 = 14;
export const RULE_NODE_PORT: i32 = 15;
export const RULE_PROTOCOL: i32 = 16;
export const RULE_DUPLICATE_PORT: i32 = 17;
export const RULE_EXTERNAL_POLICY: i32 = 18;
export const RULE_INTERNAL_POLICY: i32 = 19;
export const RULE_AFFINITY: i32 = 20;
export const RULE_AFFINITY_TIMEOUT: i32 = 21;
export const RULE_HEALTH_PORT: i32 = 22;
export const RULE_ENDPOINT_ADDRESS: i32 = 30;
export const RULE_ENDPOINT_PORT: i32 = 31;
export const RULE_ENDPOINT_PROTOCOL: i32 = 32;
