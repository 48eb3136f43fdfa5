/** Builds one transaction: the messages between NFNL_MSG_BATCH_BEGIN and _END, all or nothing. */
import {
  NFGENMSG_LEN,
  NFGENMSG_RESOURCE_ID,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFNL_SUBSYS_NFTABLES,
  NLM_F_ACK,
  NLM_F_REQUEST,
  NLMSG_FLAGS,
  NLMSG_HDRLEN,
} from "../../netlink/constants.ts";
import { MessageWriter } from "../../netlink/message.ts";
import type { Netlink, NetlinkReply } from "../../netlink/socket.ts";
import { NFPROTO_INET } from "./nf-tables.ts";
import { TABLE } from "./object-names.ts";

/** Writes nf_tables messages of one family. The same object serves all transactions in turn. */
export class Batch {
  readonly writer = new MessageWriter();
  /** Offset of each message, by its sequence number - 1. */
  readonly starts: number[] = [];
  /** Number of transactions that the kernel accepted. */
  commits = 0;
  /** The name of the table that the messages of the transaction are about. */
  table = TABLE;
  readonly #family: number;

  /** `family`: NFPROTO_*. */
  constructor(family = NFPROTO_INET) {
    this.#family = family;
  }

  /** Starts an empty transaction about this table. */
  begin(table = TABLE): void {
    this.table = table;
    this.writer.reset();
    this.starts.length = 0;
    this.#edge(NFNL_MSG_BATCH_BEGIN);
  }

  /** Starts a message. Pass the result to `close`. */
  open(type: number, flags: number): number {
    const sequence = this.starts.length + 1;
    const start = this.writer.begin(
      (NFNL_SUBSYS_NFTABLES << 8) | type,
      NLM_F_REQUEST | flags,
      sequence,
      NFGENMSG_LEN,
    );
    this.writer.bytes[start + NLMSG_HDRLEN] = this.#family;
    this.starts.push(start);
    return start;
  }

  close(start: number): void {
    this.writer.end(start);
  }

  get count(): number {
    return this.starts.length;
  }

  /**
   * Sends the transaction as one datagram. Only the last message requests an ack: all work is done
   * when send returns, and the kernel reports refusals without a request.
   */
  send(socket: Netlink): NetlinkReply {
    const last = this.starts.at(-1);
    if (last === undefined) return { refusals: [], acks: 0 };
    const { view } = this.writer;
    const flags = view.getUint16(last + NLMSG_FLAGS, true);
    view.setUint16(last + NLMSG_FLAGS, flags | NLM_F_ACK, true);
    this.#edge(NFNL_MSG_BATCH_END);
    const answer = socket.send(this.writer.bytes, this.writer.length);
    if (answer.refusals.length === 0) this.commits++;
    return answer;
  }

  #edge(type: number): void {
    const start = this.writer.begin(type, NLM_F_REQUEST, 0, NFGENMSG_LEN);
    this.writer.view.setUint16(start + NLMSG_HDRLEN + NFGENMSG_RESOURCE_ID, NFNL_SUBSYS_NFTABLES);
    this.writer.end(start);
  }
}
