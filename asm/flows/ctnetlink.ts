// Defines the kernel's records in a dump of connection tracking (linux/netlink.h,
// linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h).

// Record NLMSG, NLMSG_HEADER = 16 bytes: struct nlmsghdr
//    0 u32 LENGTH: header included     6 u16 FLAGS: NLM_F_*    12 u32 -
//    4 u16 TYPE                        8 u32 SEQUENCE
export const NLMSG_LENGTH: usize = 0;
export const NLMSG_TYPE: usize = 4;
export const NLMSG_FLAGS: usize = 6;
export const NLMSG_SEQUENCE: usize = 8;
export const NLMSG_HEADER: usize = 16;

export const NLMSG_ERROR: u32 = 2;
export const NLMSG_DONE: u32 = 3;
/** NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, IPCTNL_MSG_CT_DELETE */
export const CTNETLINK_NEW: u32 = 0x100;
export const CTNETLINK_DELETE: u32 = 0x102;

export const NLM_F_REQUEST: u32 = 1;
export const NLM_F_DUMP_INTR: u32 = 16;

/** Size of a negated errno, the payload of NLMSG_ERROR and NLMSG_DONE. */
export const ERRNO_BYTES: usize = 4;

// Record NFGENMSG, NFGENMSG_HEADER = 4 bytes: struct nfgenmsg
//    0 u8 FAMILY: AF_*    1 u8[3] -
export const NFGENMSG_FAMILY: usize = 0;
export const NFGENMSG_HEADER: usize = 4;

export const AF_INET: u32 = 2;
export const AF_INET6: u32 = 10;

// Record NLA, NLA_HEADER = 4 bytes: struct nlattr
//    0 u16 LENGTH: header included    2 u16 TYPE: CTA_*, NLA_F_NESTED
export const NLA_LENGTH: usize = 0;
export const NLA_TYPE: usize = 2;
export const NLA_HEADER: usize = 4;

export const NLA_F_NESTED: u32 = 0x8000;
export const NLA_TYPE_MASK: u32 = 0x3fff;

export const CTA_TUPLE_ORIG: u32 = 1;
export const CTA_TUPLE_REPLY: u32 = 2;
export const CTA_STATUS: u32 = 3;
export const CTA_PROTOINFO: u32 = 4;
export const CTA_ID: u32 = 12;
export const CTA_ZONE: u32 = 18;
// Attributes in CTA_TUPLE_*.
export const CTA_TUPLE_IP: u32 = 1;
export const CTA_TUPLE_PROTO: u32 = 2;
// Attributes in CTA_TUPLE_IP; the destination has the next number.
export const CTA_IP_V4_SRC: u32 = 1;
export const CTA_IP_V6_SRC: u32 = 3;
// Attributes in CTA_TUPLE_PROTO.
export const CTA_PROTO_NUM: u32 = 1;
export const CTA_PROTO_SRC_PORT: u32 = 2;
export const CTA_PROTO_DST_PORT: u32 = 3;
// The attribute in CTA_PROTOINFO, and the attribute in CTA_PROTOINFO_TCP.
export const CTA_PROTOINFO_TCP: u32 = 1;
export const CTA_PROTOINFO_TCP_STATE: u32 = 1;
/** enum tcp_conntrack */
export const TCP_CONNTRACK_SYN_SENT: u32 = 1;

/** Rounds up to a multiple of 4, where messages and attributes begin. */
export function aligned(length: usize): usize {
  return (length + 3) & ~3;
}
