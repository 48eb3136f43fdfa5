/** Sends read requests to nf_tables, for tables of any family. */
import {
  NFGENMSG_LEN,
  NFNL_SUBSYS_NFTABLES,
  NLM_F_REQUEST,
  NLMSG_HDRLEN,
} from "../../netlink/constants.ts";
import { AttributeReader, MessageWriter } from "../../netlink/message.ts";
import { refusalError } from "../../netlink/netlink-errors.ts";
import type { Netlink, NetlinkMessage } from "../../netlink/socket.ts";
import { ENOENT } from "../../os/posix.ts";
import { type Attribute, writeAttributes } from "./expressions.ts";
import * as nft from "./nf-tables.ts";
import { TABLE } from "./object-names.ts";

export interface GetRequest {
  /** NFPROTO_* */
  readonly family: number;
  /** NFT_MSG_GET* */
  readonly type: number;
  readonly attributes: readonly Attribute[];
}

/** Resets `writer` and writes the question into it. */
export function writeRequest(writer: MessageWriter, question: GetRequest, flags: number): void {
  const { family, type, attributes } = question;
  writer.reset();
  const whole = (NFNL_SUBSYS_NFTABLES << 8) | type;
  const start = writer.begin(whole, NLM_F_REQUEST | flags, 1, NFGENMSG_LEN);
  writer.bytes[start + NLMSG_HDRLEN] = family;
  writeAttributes(writer, attributes);
  writer.end(start);
}

/** The attributes of one message in an answer. */
export function attributesOf({ bytes, start, end }: NetlinkMessage): AttributeReader {
  return new AttributeReader(bytes, start + NFGENMSG_LEN, end);
}

/**
 * Requests one object. `each` receives the attributes of every message of the answer. Returns false
 * if the object does not exist. An error message begins with `what`.
 * @throws SluiceError NETLINK_REFUSED, PERMISSION_DENIED, NETLINK_SOCKET
 */
export function request(
  socket: Pick<Netlink, "send">,
  writer: MessageWriter,
  question: GetRequest,
  what: string,
  each: (reader: AttributeReader) => void,
): boolean {
  writeRequest(writer, question, 0);
  const { refusals } = socket.send(writer.bytes, writer.length, (message) =>
    each(attributesOf(message)),
  );
  const refusal = refusals[0];
  if (refusal === undefined) return true;
  if (refusal.errno === ENOENT) return false;
  throw refusalError(what, refusal);
}

const generationWriter = new MessageWriter(64);

/**
 * The number of transactions in this network namespace, by any process and on any table: a u32 that
 * wraps. Throws like `request`.
 */
export function readGeneration(socket: Pick<Netlink, "send">): number {
  let generation = 0;
  const question = { family: nft.NFPROTO_INET, type: nft.NFT_MSG_GETGEN, attributes: [] };
  request(socket, generationWriter, question, `read table inet ${TABLE}`, (reader) => {
    while (reader.next()) if (reader.type === nft.NFTA_GEN_ID) generation = reader.u32();
  });
  return generation;
}
