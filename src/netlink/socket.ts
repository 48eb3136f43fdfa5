/**
 * Implements a netlink socket that never blocks. The kernel processes a message inside send(2), so
 * its answers are available when send returns. Each recv(2) of a dump produces the next part.
 */

import * as libc from "../os/libc.ts";
import {
  EAGAIN,
  EINTR,
  ENOBUFS,
  MSG_DONTWAIT,
  MSG_TRUNC,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
} from "../os/posix.ts";
import { systemError } from "../os/system-error.ts";
import {
  AF_NETLINK,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
  NLM_F_ACK_TLVS,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_FLAGS,
  NLMSG_HDRLEN,
  NLMSG_LENGTH,
  NLMSG_SEQUENCE,
  NLMSG_TYPE,
  NLMSGERR_ATTR_MSG,
  NLMSGERR_ATTR_OFFS,
  NLMSGERR_ERRNO,
  NLMSGERR_MSG,
  SOCKADDR_NL_BYTES,
  SOCKADDR_NL_PORT_ID,
  SOL_NETLINK,
} from "./constants.ts";
import { attachFilter, type EventFilter } from "./event-filter.ts";
import { AttributeReader, alignTo4 } from "./message.ts";
import type { Refusal } from "./netlink-errors.ts";

/** One message of an answer: views of the receive buffer, valid until the callback returns. */
export interface NetlinkMessage {
  readonly type: number;
  readonly bytes: Uint8Array;
  /** Bounds of the data after the nlmsghdr. */
  readonly start: number;
  readonly end: number;
}

/** The kernel's answer to sent messages. */
export interface NetlinkReply {
  /** Refusals in the order of processing; empty if the kernel accepted everything. */
  readonly refusals: readonly Refusal[];
  /** Number of accepted messages with NLM_F_ACK. */
  readonly acks: number;
}

/** The socket operations that backends use; tests provide a fake. */
export interface Netlink {
  /** The longest datagram that `send` can carry, in bytes. */
  readonly maxBytes: number;
  /** Identifies this socket as the cause of an event. */
  readonly portId: number;
  /**
   * Sends one datagram of messages and collects the answers. `each` receives all messages except
   * acks and errors.
   */
  send(bytes: Uint8Array, length: number, each?: (message: NetlinkMessage) => void): NetlinkReply;
  /** Sends one dump request. Returns true if the kernel's state changed meanwhile: dump again. */
  dump(bytes: Uint8Array, length: number, each: (message: NetlinkMessage) => void): boolean;
  close(): void;
}

/**
 * Requested buffer size in bytes. It takes memory only while messages of that size are in flight.
 */
const SEND_BUFFER = 64 << 20;
const RECEIVE_BUFFER = 8 << 20;
/**
 * The kernel fills at most 32 KiB at a time, even if the reader offers more
 * (net/netlink/af_netlink.c).
 */
const READ_SIZE = 1 << 16;

/** Operations and a cause, for messages. */
const RECEIVE = "receive from netlink socket";
const DUMP = "read netlink dump";
const NO_ANSWER = "no answer from the kernel (EAGAIN)";

/**
 * Opens a socket of the netlink family `protocol`, joined to `groups`, with the largest permitted
 * buffers. It receives the events that the filter passes.
 */
export function openNetlink(
  protocol: number,
  groups: readonly number[] = [],
  filter?: EventFilter,
): number {
  const what = "open netlink socket";
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd < 0) throw systemError(what, -fd);
  grow(fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER);
  grow(fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER);
  // struct sockaddr_nl { family, pad, pid, groups }: the kernel assigns the pid.
  const address = new Uint8Array(new ArrayBuffer(SOCKADDR_NL_BYTES));
  address[0] = AF_NETLINK;
  let result = libc.bind(fd, address);
  for (const name of [NETLINK_CAP_ACK, NETLINK_EXT_ACK]) {
    if (result >= 0) result = libc.setOption(fd, SOL_NETLINK, name, 1);
  }
  if (result >= 0 && filter !== undefined) result = attachFilter(fd, filter);
  // Since Linux 4.20, the kernel then filters dumps of routes. An older one refuses the option.
  if (result >= 0) libc.setOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
  for (const group of groups) {
    if (result >= 0) result = libc.setOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
  }
  if (result < 0) {
    libc.close(fd);
    throw systemError(what, -result);
  }
  return fd;
}

/**
 * FORCE needs CAP_NET_ADMIN in the initial user namespace. Without it net.core.[rw]mem_max is the
 * limit.
 */
function grow(fd: number, force: number, plain: number, bytes: number): void {
  if (libc.setOption(fd, SOL_SOCKET, force, bytes) < 0) {
    libc.setOption(fd, SOL_SOCKET, plain, bytes);
  }
}

export class NetlinkSocket implements Netlink {
  readonly maxBytes: number;
  readonly portId: number;
  #fd: number;
  #buffer = new Uint8Array(new ArrayBuffer(READ_SIZE));
  #view = new DataView(this.#buffer.buffer);

  /**
   * Opens a socket of the netlink family `protocol`.
   * @throws SluiceError NETLINK_SOCKET, PERMISSION_DENIED
   */
  constructor(protocol: number) {
    this.#fd = openNetlink(protocol);
    // netlink_sendmsg: if (len > sk->sk_sndbuf - 32) return -EMSGSIZE
    this.maxBytes = libc.getOption(this.#fd, SOL_SOCKET, SO_SNDBUF) - 32;
    const name = new Uint8Array(new ArrayBuffer(SOCKADDR_NL_BYTES));
    libc.socketName(this.#fd, name);
    this.portId = new DataView(name.buffer).getUint32(SOCKADDR_NL_PORT_ID, true);
  }

  send(bytes: Uint8Array, length: number, each?: (message: NetlinkMessage) => void): NetlinkReply {
    this.#transmit(bytes, length);
    const refusals: Refusal[] = [];
    let acks = 0;
    while (this.#receive() > 0) {
      this.#walk((message, flags, sequence) => {
        if (message.type !== NLMSG_ERROR) {
          each?.(message);
          return true;
        }
        const refusal = this.#readError(message, flags, sequence);
        if (refusal === undefined) acks++;
        else refusals.push(refusal);
        return true;
      });
    }
    return { refusals, acks };
  }

  dump(bytes: Uint8Array, length: number, each: (message: NetlinkMessage) => void): boolean {
    const parts = this.dumpParts(bytes, length, each);
    for (;;) {
      const { done, value } = parts.next();
      if (done) return value;
    }
  }

  /**
   * Like `dump`, but yields after each datagram for as long as the caller likes. The kernel writes
   * the next part when the previous one has been read. The socket must not be used for anything
   * else meanwhile.
   */
  *dumpParts(
    bytes: Uint8Array,
    length: number,
    each: (message: NetlinkMessage) => void,
  ): Generator<void, boolean, void> {
    this.#transmit(bytes, length);
    let changed = false;
    let open = true;
    while (open) {
      if (this.#receive() === 0) throw systemError(DUMP, EAGAIN, "NETLINK_SOCKET", NO_ANSWER);
      this.#walk((message, flags, sequence) => {
        if (flags & NLM_F_DUMP_INTR) changed = true;
        if (message.type === NLMSG_DONE) {
          open = false;
          // The dump's result follows the header, like the errno of a refusal.
          const errno = -this.#view.getInt32(message.start + NLMSGERR_ERRNO, true);
          if (errno > 0) throw systemError(DUMP, errno, "NETLINK_REFUSED");
        } else if (message.type === NLMSG_ERROR) {
          open = false;
          const refusal = this.#readError(message, flags, sequence);
          if (refusal) throw systemError(DUMP, refusal.errno, "NETLINK_REFUSED");
        } else {
          each(message);
        }
        return open;
      });
      if (open) yield;
    }
    return changed;
  }

  close(): void {
    if (this.#fd >= 0) libc.close(this.#fd);
    this.#fd = -1;
  }

  #transmit(bytes: Uint8Array, length: number): void {
    // Discard what an earlier call left behind because its callback threw. It does not answer this
    // call.
    while (this.#receive() > 0);
    const result = libc.send(this.#fd, bytes, length, 0);
    if (result < 0) throw systemError(`send ${length} bytes to netlink socket`, -result);
  }

  /**
   * Receives the next datagram into the buffer. Returns its length in bytes; 0 if there is none.
   */
  #receive(): number {
    for (;;) {
      const result = libc.recv(this.#fd, this.#buffer, MSG_DONTWAIT | MSG_TRUNC);
      if (result === -EINTR) continue;
      if (result === -EAGAIN || result === 0) this.#length = 0;
      else if (result < 0) throw systemError(RECEIVE, -result);
      else if (result > READ_SIZE) throw systemError(RECEIVE, ENOBUFS);
      else this.#length = result;
      return this.#length;
    }
  }

  #length = 0;

  #walk(each: (message: NetlinkMessage, flags: number, sequence: number) => boolean): void {
    let offset = 0;
    while (offset + NLMSG_HDRLEN <= this.#length) {
      const length = this.#view.getUint32(offset + NLMSG_LENGTH, true);
      if (length < NLMSG_HDRLEN || offset + length > this.#length) break;
      const message = {
        type: this.#view.getUint16(offset + NLMSG_TYPE, true),
        bytes: this.#buffer,
        start: offset + NLMSG_HDRLEN,
        end: offset + length,
      };
      const flags = this.#view.getUint16(offset + NLMSG_FLAGS, true);
      if (!each(message, flags, this.#view.getUint32(offset + NLMSG_SEQUENCE, true))) return;
      offset += alignTo4(length);
    }
  }

  /**
   * struct nlmsgerr { int error; struct nlmsghdr msg; }, then attributes if NLM_F_ACK_TLVS. Returns
   * undefined for an ack.
   */
  #readError(message: NetlinkMessage, flags: number, sequence: number): Refusal | undefined {
    const errno = -this.#view.getInt32(message.start + NLMSGERR_ERRNO, true);
    if (errno === 0) return undefined;
    let offset: number | undefined;
    let text: string | undefined;
    if (flags & NLM_F_ACK_TLVS) {
      const attributes = new AttributeReader(
        message.bytes,
        message.start + NLMSGERR_MSG + NLMSG_HDRLEN,
        message.end,
      );
      while (attributes.next()) {
        if (attributes.type === NLMSGERR_ATTR_OFFS) offset = attributes.u32host();
        else if (attributes.type === NLMSGERR_ATTR_MSG) text = attributes.text();
      }
    }
    return { errno, sequence, offset, text };
  }
}
