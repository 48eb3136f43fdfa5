/** Reads the addresses on this node's interfaces, and watches them for changes (rtnetlink). */
import { readU8 } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { ADDRESS_BYTES, type Address, type Family } from "../net/address.ts";
import { AF_INET, AF_INET6 } from "../os/posix.ts";
import {
  IFA_ADDRESS,
  IFA_FLAGS,
  IFA_LOCAL,
  IFADDRMSG_FLAGS,
  IFADDRMSG_INDEX,
  IFADDRMSG_LEN,
  IFADDRMSG_PREFIX_LENGTH,
  IFADDRMSG_SCOPE,
  NETLINK_ROUTE,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  RTM_GETADDR,
  RTM_NEWADDR,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV6_IFADDR,
} from "./constants.ts";
import { REOPEN_MS, subscribe } from "./event-socket.ts";
import { AttributeReader, MessageWriter } from "./message.ts";
import { type Netlink, type NetlinkMessage, NetlinkSocket } from "./socket.ts";

/** An address of this node. */
export interface InterfaceAddress extends Address {
  readonly prefix: number;
  readonly interfaceIndex: number;
  /** linux/rtnetlink.h: enum rt_scope_t: 0 global, 253 link, 254 host. */
  readonly scope: number;
  /** linux/if_addr.h: IFA_F_*. */
  readonly flags: number;
}

/**
 * A dump is repeated up to this many times if an address changes meanwhile. The last one counts.
 */
const DUMP_ATTEMPTS = 5;

/**
 * Reads all addresses of this node.
 * @throws SluiceError NETLINK_SOCKET, NETLINK_REFUSED
 */
export function readAddresses(socket: Netlink): readonly InterfaceAddress[] {
  const writer = new MessageWriter(64);
  writer.end(writer.begin(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, IFADDRMSG_LEN));
  let addresses: InterfaceAddress[] = [];
  for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
    addresses = [];
    const changed = socket.dump(writer.bytes, writer.length, (message) => {
      const address = message.type === RTM_NEWADDR ? readInterfaceAddress(message) : undefined;
      if (address !== undefined) addresses.push(address);
    });
    if (!changed) break;
  }
  return addresses;
}

/** struct ifaddrmsg { u8 family, prefixlen, flags, scope; u32 index }, then attributes. */
function readInterfaceAddress({ bytes, start, end }: NetlinkMessage): InterfaceAddress | undefined {
  const kind = bytes[start];
  if (kind !== AF_INET && kind !== AF_INET6) return undefined;
  const family: Family = kind === AF_INET ? 4 : 6;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let flags = readU8(bytes, start + IFADDRMSG_FLAGS);
  let address: Uint8Array | undefined;
  let local: Uint8Array | undefined;
  const attributes = new AttributeReader(bytes, start + IFADDRMSG_LEN, end);
  while (attributes.next()) {
    if (attributes.type === IFA_ADDRESS) address = attributes.payload().slice();
    else if (attributes.type === IFA_LOCAL) local = attributes.payload().slice();
    else if (attributes.type === IFA_FLAGS) flags = attributes.u32host();
  }
  // On a point-to-point interface, IFA_ADDRESS is the address of the peer.
  const own = local ?? address;
  if (own === undefined || own.length !== ADDRESS_BYTES[family]) return undefined;
  return {
    family,
    bytes: own,
    prefix: readU8(bytes, start + IFADDRMSG_PREFIX_LENGTH),
    interfaceIndex: view.getUint32(start + IFADDRMSG_INDEX, true),
    scope: readU8(bytes, start + IFADDRMSG_SCOPE),
    flags,
  };
}

export interface AddressWatch {
  close(): void;
}

/**
 * Calls `changed` with the addresses once before it returns, and after every change. A burst of
 * changes causes one call. An interface that disappears takes its addresses with it, so links need
 * not be watched. If a later list cannot be read, it is requested again after REOPEN_MS.
 * @throws SluiceError NETLINK_SOCKET, when the first list cannot be read
 */
export function watchAddresses(
  clock: Clock,
  changed: (addresses: readonly InterfaceAddress[]) => void,
  socket: Netlink = new NetlinkSocket(NETLINK_ROUTE),
): AddressWatch {
  let last = "";
  let pending = false;
  let open = true;
  const read = () => {
    const addresses = readAddresses(socket);
    const text = addresses.map((one) => `${one.interfaceIndex} ${one.bytes}`).join("\n");
    if (text === last) return;
    last = text;
    changed(addresses);
  };
  const readLater = () => {
    if (!open) return;
    pending = false;
    try {
      read();
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      pending = true;
      clock.after(REOPEN_MS, readLater);
    }
  };
  // Subscribe before the first read, so that no change is missed in between.
  const groups = [RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR];
  const subscription = subscribe(NETLINK_ROUTE, groups, clock, () => {
    if (pending) return;
    pending = true;
    clock.soon(readLater);
  });
  try {
    read();
  } catch (error) {
    subscription.close();
    socket.close();
    throw error;
  }
  return {
    close() {
      open = false;
      subscription.close();
      socket.close();
    },
  };
}
