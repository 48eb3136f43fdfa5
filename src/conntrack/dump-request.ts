/** Writes the request that dumps connection-tracking entries over ctnetlink. */
import { IPS_SEEN_REPLY } from "../../asm/layout/flow.ts";
import type { FlowDump } from "../core/core.ts";
import { PROTOCOLS } from "../net/protocol.ts";
import { NFGENMSG_LEN, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_HDRLEN } from "../netlink/constants.ts";
import type { MessageWriter } from "../netlink/message.ts";
import { AF_INET, AF_INET6 } from "../os/posix.ts";

// linux/netfilter/nfnetlink.h
const NFNL_SUBSYS_CTNETLINK = 1;

// linux/netfilter/nfnetlink_conntrack.h
const IPCTNL_MSG_CT_GET = 1;
const CTA_TUPLE_ORIG = 1;
const CTA_STATUS = 3;
const CTA_FILTER = 25;
const CTA_STATUS_MASK = 26;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO_NUM = 1;
/** net/netfilter/nf_internals.h: the parts of the tuple that a dump's filter compares. */
const CTA_FILTER_F_CTA_PROTO_NUM = 1 << 3;

/**
 * Writes a request for UDP entries, or for TCP entries without a reply. The kernel leaves out all
 * others: by protocol since 5.8, by status since 5.15. An older kernel ignores the filter and
 * returns more entries.
 */
export function writeDumpRequest(writer: MessageWriter, { family, protocol }: FlowDump): void {
  const type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET;
  const start = writer.begin(type, NLM_F_REQUEST | NLM_F_DUMP, 1, NFGENMSG_LEN);
  writer.bytes[start + NLMSG_HDRLEN] = family === 4 ? AF_INET : AF_INET6;
  const tuple = writer.open(CTA_TUPLE_ORIG);
  const part = writer.open(CTA_TUPLE_PROTO);
  writer.raw(CTA_PROTO_NUM, Uint8Array.of(PROTOCOLS[protocol]));
  writer.close(part);
  writer.close(tuple);
  const filter = writer.open(CTA_FILTER);
  // In host order, unlike other numbers of ctnetlink.
  const flags = new Uint8Array(4);
  new DataView(flags.buffer).setUint32(0, CTA_FILTER_F_CTA_PROTO_NUM, true);
  writer.raw(CTA_FILTER_ORIG_FLAGS, flags);
  writer.close(filter);
  if (protocol === "TCP") {
    writer.u32(CTA_STATUS, 0);
    writer.u32(CTA_STATUS_MASK, IPS_SEEN_REPLY);
  }
  writer.end(start);
}
