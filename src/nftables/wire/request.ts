/** Questions to nf_tables, about the tables of any family. */
import {
  ENOENT,
  NFGENMSG_LEN,
  NFNL_SUBSYS_NFTABLES,
  NLM_F_REQUEST,
  NLMSG_HDRLEN,
} from "../../netlink/constants.ts";
import { AttributeReader, type MessageWriter } from "../../netlink/message.ts";
import { printRefusal, systemError } from "../../netlink/netlink-errors.ts";
import type { Message, Netlink } from "../../netlink/socket.ts";
import { type Attribute, writeAttributes } from "./expressions.ts";

export interface Question {
  /** NFPROTO_* */
  readonly family: number;
  /** NFT_MSG_GET* */
  readonly type: number;
  readonly attributes: readonly Attribute[];
}

/** Writes it, and nothing else, into `writer`. */
export function writeQuestion(writer: MessageWriter, question: Question, flags: number): void {
  const { family, type, attributes } = question;
  writer.reset();
  const whole = (NFNL_SUBSYS_NFTABLES << 8) | type;
  const start = writer.begin(whole, NLM_F_REQUEST | flags, 1, NFGENMSG_LEN);
  writer.bytes[start + NLMSG_HDRLEN] = family;
  writeAttributes(writer, attributes);
  writer.end(start);
}

/** The attributes of a message of the answer. */
export function attributesOf({ bytes, start, end }: Message): AttributeReader {
  return new AttributeReader(bytes, start + NFGENMSG_LEN, end);
}

/**
 * Asks without dumping; `each` sees the attributes of each message of the answer, and `what` completes "Cannot". False
 * if the kernel says that there is no such thing.
 * @throws SluiceError NETLINK_REFUSED, PERMISSION_DENIED, NETLINK_SOCKET
 */
export function askFor(
  socket: Pick<Netlink, "send">,
  writer: MessageWriter,
  question: Question,
  what: string,
  each: (reader: AttributeReader) => void,
): boolean {
  writeQuestion(writer, question, 0);
  const { refusals } = socket.send(writer.bytes, writer.length, (message) =>
    each(attributesOf(message)),
  );
  const refusal = refusals[0];
  if (refusal === undefined) return true;
  if (refusal.errno === ENOENT) return false;
  throw systemError(what, refusal.errno, "NETLINK_REFUSED", printRefusal(refusal));
}
