/** What ctnetlink is asked for. */
import { IPS_SEEN_REPLY } from "../../asm/layout/layout.ts";
import type { FlowDump } from "../core/core.ts";
import { PROTOCOLS } from "../net/protocol.ts";
import {
  AF_INET,
  AF_INET6,
  NFGENMSG_LEN,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_HDRLEN,
} from "../netlink/constants.ts";
import type { MessageWriter } from "../netlink/message.ts";
import * as ct from "./ctnetlink.ts";

/**
 * A dump of the entries of UDP, or of those of TCP that nobody has answered. The kernel
 * leaves out all others: by protocol from 5.8 on, by status from 5.15 on. An older one ignores what it does
 * not know, and answers with more.
 */
export function writeDump(writer: MessageWriter, { family, protocol }: FlowDump): void {
  const type = (ct.NFNL_SUBSYS_CTNETLINK << 8) | ct.IPCTNL_MSG_CT_GET;
  const start = writer.begin(type, NLM_F_REQUEST | NLM_F_DUMP, 1, NFGENMSG_LEN);
  writer.bytes[start + NLMSG_HDRLEN] = family === 4 ? AF_INET : AF_INET6;
  const tuple = writer.open(ct.CTA_TUPLE_ORIG);
  const part = writer.open(ct.CTA_TUPLE_PROTO);
  writer.raw(ct.CTA_PROTO_NUM, Uint8Array.of(PROTOCOLS[protocol]));
  writer.close(part);
  writer.close(tuple);
  const filter = writer.open(ct.CTA_FILTER);
  // In host order, unlike other numbers of ctnetlink.
  const flags = new Uint8Array(4);
  new DataView(flags.buffer).setUint32(0, ct.CTA_FILTER_F_CTA_PROTO_NUM, true);
  writer.raw(ct.CTA_FILTER_ORIG_FLAGS, flags);
  writer.close(filter);
  if (protocol === "TCP") {
    writer.u32(ct.CTA_STATUS, 0);
    writer.u32(ct.CTA_STATUS_MASK, IPS_SEEN_REPLY);
  }
  writer.end(start);
}
