/** Defines the constants of netlink and its sockets, with their names in the kernel's headers. */

// linux/socket.h
export const AF_NETLINK = 16;

// linux/netlink.h
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
export const SOL_NETLINK = 270;
export const NETLINK_ADD_MEMBERSHIP = 1;
export const NETLINK_CAP_ACK = 10;
export const NETLINK_EXT_ACK = 11;
export const NETLINK_GET_STRICT_CHK = 12;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_ACK_TLVS = 0x200;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
export const NLMSGERR_ATTR_MSG = 1;
export const NLMSGERR_ATTR_OFFS = 2;
// struct nlmsghdr: the offsets of its fields, and its length. The length of the message includes
// it.
export const NLMSG_LENGTH = 0;
export const NLMSG_TYPE = 4;
export const NLMSG_FLAGS = 6;
export const NLMSG_SEQUENCE = 8;
/** In an event: the port id of the socket that caused it. */
export const NLMSG_PORT_ID = 12;
export const NLMSG_HDRLEN = 16;
// struct nlattr: the same.
export const NLA_LENGTH = 0;
export const NLA_TYPE = 2;
export const NLA_HDRLEN = 4;
// struct nlmsgerr: the errno, negative, and the header of the refused message.
export const NLMSGERR_ERRNO = 0;
export const NLMSGERR_MSG = 4;
// struct sockaddr_nl
export const SOCKADDR_NL_PORT_ID = 4;
export const SOCKADDR_NL_BYTES = 12;
export const NLA_F_NESTED = 0x8000;
export const NLA_TYPE_MASK = 0x3fff;

// linux/netfilter/nfnetlink.h
export const NFNL_MSG_BATCH_BEGIN = 0x10;
export const NFNL_MSG_BATCH_END = 0x11;
export const NFNL_SUBSYS_NFTABLES = 10;
/** enum nfnetlink_groups */
export const NFNLGRP_NFTABLES = 7;
// struct nfgenmsg: u8 family, u8 version, be16 resource id.
export const NFGENMSG_RESOURCE_ID = 2;
export const NFGENMSG_LEN = 4;

// linux/filter.h, linux/bpf_common.h: struct sock_filter and its codes
export const BPF_CODE = 0;
export const BPF_JUMP_TRUE = 2;
export const BPF_JUMP_FALSE = 3;
export const BPF_OPERAND = 4;
export const BPF_INSTRUCTION_BYTES = 8;
export const BPF_LD_W_ABS = 0x20;
export const BPF_LD_B_ABS = 0x30;
export const BPF_JEQ_K = 0x15;
export const BPF_RET_K = 0x06;

// linux/rtnetlink.h, linux/if_link.h
export const RTM_GETLINK = 18;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTNLGRP_IPV4_ROUTE = 7;
export const RTNLGRP_IPV6_ROUTE = 11;
/** A route to an address of this node. */
export const RTN_LOCAL = 2;
export const RT_TABLE_LOCAL = 255;
export const RTA_DST = 1;
export const RTA_OIF = 4;
export const RTA_TABLE = 15;
export const IFLA_IFNAME = 3;
// struct rtmsg
export const RTMSG_FAMILY = 0;
export const RTMSG_PREFIX_LENGTH = 1;
export const RTMSG_TABLE = 4;
export const RTMSG_TYPE = 7;
export const RTMSG_LEN = 12;
/** Length of struct ifinfomsg. */
export const IFINFOMSG_LEN = 16;
