/** Numbers of ctnetlink, by their names in the kernel's headers. */

// linux/netfilter/nfnetlink.h
export const NFNL_SUBSYS_CTNETLINK = 1;

// linux/netfilter/nfnetlink_conntrack.h
export const IPCTNL_MSG_CT_GET = 1;
export const CTA_TUPLE_ORIG = 1;
export const CTA_STATUS = 3;
export const CTA_FILTER = 25;
export const CTA_STATUS_MASK = 26;
export const CTA_FILTER_ORIG_FLAGS = 1;
export const CTA_TUPLE_PROTO = 2;
export const CTA_PROTO_NUM = 1;
/** net/netfilter/nf_internals.h: which parts of the tuple a dump's filter compares. */
export const CTA_FILTER_F_CTA_PROTO_NUM = 1 << 3;
