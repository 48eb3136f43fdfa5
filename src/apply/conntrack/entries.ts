/** Entries of connection tracking as ctnetlink tells them: asking for those of UDP, reading, deleting. */
import type { Family } from "../../plan/tables.ts";
import { PROTOCOLS } from "../../types.ts";
import {
  AF_INET,
  AF_INET6,
  NFGENMSG_LEN,
  NLA_F_NESTED,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_HDRLEN,
} from "../netlink/constants.ts";
import { AttributeReader, type MessageWriter } from "../netlink/message.ts";
import type { Message } from "../netlink/socket.ts";
import * as ct from "./constants.ts";

/** A dump of the entries of UDP. Kernels before 5.8 answer with those of all protocols. */
export function writeDump(writer: MessageWriter, family: Family): void {
  const start = begin(writer, ct.IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);
  const tuple = writer.open(ct.CTA_TUPLE_ORIG);
  const protocol = writer.open(ct.CTA_TUPLE_PROTO);
  writer.raw(ct.CTA_PROTO_NUM, Uint8Array.of(PROTOCOLS.UDP));
  writer.close(protocol);
  writer.close(tuple);
  const filter = writer.open(ct.CTA_FILTER);
  // In host order, unlike other numbers of ctnetlink.
  const flags = new Uint8Array(4);
  new DataView(flags.buffer).setUint32(0, ct.CTA_FILTER_F_CTA_PROTO_NUM, true);
  writer.raw(ct.CTA_FILTER_ORIG_FLAGS, flags);
  writer.close(filter);
  writer.end(start);
}

/** Deletes the entry that `reader` is at: that very one, not a later one of the same tuple. */
export function writeDelete(writer: MessageWriter, family: Family, reader: EntryReader): void {
  const start = begin(writer, ct.IPCTNL_MSG_CT_DELETE, 0, family);
  const { bytes } = reader;
  writer.raw(ct.CTA_TUPLE_ORIG | NLA_F_NESTED, bytes.subarray(reader.tuple, reader.tupleEnd));
  if (reader.zone > 0) writer.raw(ct.CTA_ZONE, bytes.subarray(reader.zone, reader.zone + 2));
  if (reader.id > 0) writer.raw(ct.CTA_ID, bytes.subarray(reader.id, reader.id + 4));
  writer.end(start);
}

function begin(writer: MessageWriter, message: number, flags: number, family: Family): number {
  const type = (ct.NFNL_SUBSYS_CTNETLINK << 8) | message;
  const start = writer.begin(type, NLM_F_REQUEST | flags, 1, NFGENMSG_LEN);
  writer.bytes[start + NLMSG_HDRLEN] = family === 4 ? AF_INET : AF_INET6;
  return start;
}

/** Reads one entry after the other, without an object for each: fields are offsets into `bytes`. */
export class EntryReader {
  bytes = new Uint8Array(0);
  protocol = 0;
  /** What the client asked for. */
  destination = 0;
  destinationPort = 0;
  /** Who answers it. */
  source = 0;
  sourcePort = 0;
  /** Payload of CTA_TUPLE_ORIG. */
  tuple = 0;
  tupleEnd = 0;
  /** Payloads of CTA_ZONE and CTA_ID; 0 where there is none. */
  zone = 0;
  id = 0;
  #outer = new AttributeReader(this.bytes, 0, 0);
  #tuple = this.#outer;
  #part = this.#outer;

  /** False if it is not an entry with both its directions. */
  read({ type, bytes, start, end }: Message): boolean {
    if (type !== ((ct.NFNL_SUBSYS_CTNETLINK << 8) | ct.IPCTNL_MSG_CT_NEW)) return false;
    if (this.bytes !== bytes) {
      this.bytes = bytes as Uint8Array<ArrayBuffer>;
      this.#outer = new AttributeReader(bytes, 0, 0);
      this.#tuple = new AttributeReader(bytes, 0, 0);
      this.#part = new AttributeReader(bytes, 0, 0);
    }
    this.destination = 0;
    this.source = 0;
    this.destinationPort = 0;
    this.sourcePort = 0;
    this.zone = 0;
    this.id = 0;
    const outer = this.#outer.rewind(start + NFGENMSG_LEN, end);
    while (outer.next()) {
      if (outer.type === ct.CTA_TUPLE_ORIG) {
        this.tuple = outer.start;
        this.tupleEnd = outer.end;
        this.#direction(outer.start, outer.end, false);
        if (this.protocol !== PROTOCOLS.UDP) return true;
      } else if (outer.type === ct.CTA_TUPLE_REPLY) this.#direction(outer.start, outer.end, true);
      else if (outer.type === ct.CTA_ZONE) this.zone = outer.start;
      else if (outer.type === ct.CTA_ID) this.id = outer.start;
    }
    return this.destinationPort > 0 && this.sourcePort > 0;
  }

  #direction(start: number, end: number, reply: boolean): void {
    const tuple = this.#tuple.rewind(start, end);
    while (tuple.next()) {
      const part = this.#part.rewind(tuple.start, tuple.end);
      if (tuple.type === ct.CTA_TUPLE_IP) this.#address(part, reply);
      else if (tuple.type === ct.CTA_TUPLE_PROTO) this.#ports(part, reply);
    }
  }

  #address(part: AttributeReader, reply: boolean): void {
    while (part.next()) {
      const { type } = part;
      if (reply && (type === ct.CTA_IP_V4_SRC || type === ct.CTA_IP_V6_SRC)) {
        this.source = part.start;
      } else if (!reply && (type === ct.CTA_IP_V4_DST || type === ct.CTA_IP_V6_DST)) {
        this.destination = part.start;
      }
    }
  }

  #ports(part: AttributeReader, reply: boolean): void {
    while (part.next()) {
      if (part.type === ct.CTA_PROTO_NUM) this.protocol = this.bytes[part.start] as number;
      else if (reply && part.type === ct.CTA_PROTO_SRC_PORT) this.sourcePort = this.#port(part);
      else if (!reply && part.type === ct.CTA_PROTO_DST_PORT) {
        this.destinationPort = this.#port(part);
      }
    }
  }

  #port({ start }: AttributeReader): number {
    return ((this.bytes[start] as number) << 8) | (this.bytes[start + 1] as number);
  }
}
