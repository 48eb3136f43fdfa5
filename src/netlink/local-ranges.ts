/**
 * Reads the addresses that the kernel considers this node's own, and watches them for changes
 * (rtnetlink). They are the destinations of local routes. Each address of an interface has one.
 * Cloud agents add others for load balancers, without an address.
 */
import type { Clock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { ADDRESS_BYTES, type Cidr, type Family, isLinkLocal, printCidr } from "../net/address.ts";
import { LINK_LOCAL_IPV6 } from "../net/cidr.ts";
import { AF_INET, AF_INET6 } from "../os/posix.ts";
import {
  NETLINK_ROUTE,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_HDRLEN,
  NLMSG_LENGTH,
  NLMSG_TYPE,
  RT_TABLE_LOCAL,
  RTA_DST,
  RTA_OIF,
  RTA_TABLE,
  RTM_DELROUTE,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTMSG_FAMILY,
  RTMSG_LEN,
  RTMSG_PREFIX_LENGTH,
  RTMSG_TABLE,
  RTMSG_TYPE,
  RTN_LOCAL,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_ROUTE,
} from "./constants.ts";
import { LOCAL_ROUTES } from "./event-filter.ts";
import { REOPEN_MS, subscribe } from "./event-socket.ts";
import { AttributeReader, alignTo4, MessageWriter } from "./message.ts";
import { type Netlink, type NetlinkMessage, NetlinkSocket } from "./socket.ts";

/** A local route. */
export interface LocalRoute extends Cidr {
  readonly interfaceIndex: number;
}

/** A dump is repeated up to this many times if a route changes meanwhile. The last one counts. */
const DUMP_ATTEMPTS = 5;
/** Reading may use at most 1/READ_FACTOR of the time. 100,000 other routes cost 20 ms. */
const READ_FACTOR = 10;

/**
 * Reads all local routes except link-local ones.
 * @throws SluiceError NETLINK_SOCKET, NETLINK_REFUSED
 */
export function readLocalRoutes(socket: Netlink): readonly LocalRoute[] {
  return [AF_INET, AF_INET6].flatMap((family) => {
    const writer = new MessageWriter(64);
    const start = writer.begin(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, 1, RTMSG_LEN);
    writer.bytes[start + NLMSG_HDRLEN + RTMSG_FAMILY] = family;
    // The kernel leaves out the others since 4.20. An older one ignores this field.
    writer.bytes[start + NLMSG_HDRLEN + RTMSG_TYPE] = RTN_LOCAL;
    writer.end(start);
    let routes: LocalRoute[] = [];
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      routes = [];
      const changed = socket.dump(writer.bytes, writer.length, (message) => {
        const route = readRoute(message);
        if (route !== undefined) routes.push(route);
      });
      if (!changed) break;
    }
    return routes;
  });
}

/** Returns undefined for a route that does not count as local, and for a link-local one. */
function readRoute({ type, bytes, start, end }: NetlinkMessage): LocalRoute | undefined {
  if (type !== RTM_NEWROUTE && type !== RTM_DELROUTE) return undefined;
  const domain = bytes[start + RTMSG_FAMILY];
  if (bytes[start + RTMSG_TYPE] !== RTN_LOCAL) return undefined;
  if (domain !== AF_INET && domain !== AF_INET6) return undefined;
  const family: Family = domain === AF_INET ? 4 : 6;
  const prefix = bytes[start + RTMSG_PREFIX_LENGTH] as number;
  let table = bytes[start + RTMSG_TABLE] as number;
  let address = new Uint8Array(ADDRESS_BYTES[family]);
  let interfaceIndex = 0;
  const attributes = new AttributeReader(bytes, start + RTMSG_LEN, end);
  while (attributes.next()) {
    if (attributes.type === RTA_DST) address = attributes.payload().slice();
    else if (attributes.type === RTA_OIF) interfaceIndex = attributes.u32host();
    else if (attributes.type === RTA_TABLE) table = attributes.u32host();
  }
  const route: LocalRoute = { family, bytes: address, prefix, interfaceIndex };
  return isConsulted(route, table) && !isLinkLocalIPv6(route) ? route : undefined;
}

/**
 * Reports whether `fib daddr type` and iptables' addrtype consult the route. For IPv4 they look
 * into the table `local` only. For IPv6 they follow the routing rules. A default route in another
 * table belongs to a transparent proxy, with a rule that selects marked packets.
 */
function isConsulted({ family, prefix }: Cidr, table: number): boolean {
  return table === RT_TABLE_LOCAL || (family === 6 && prefix > 0);
}

function isLinkLocalIPv6(route: Cidr): boolean {
  return route.family === 6 && isLinkLocal(route);
}

/**
 * Receives the local ranges, without duplicates, and those that were not local before. Ranges may
 * contain others.
 */
export type LocalRangesListener = (ranges: readonly Cidr[], gained: readonly Cidr[]) => void;

export interface LocalRangesWatch {
  close(): void;
}

/**
 * Calls `changed` with the local ranges once before it returns, and after every change. A burst of
 * changes causes one call. A filter in the kernel drops events of all other routes, because a node
 * that learns routes by BGP has many. Link-local IPv6 addresses come and go with every pod, so they
 * cause no call; instead, all of them count as local at any time. If a later list cannot be read,
 * it is requested again after REOPEN_MS.
 * @throws SluiceError NETLINK_SOCKET, when the first list cannot be read
 */
export function watchLocalRanges(
  clock: Clock,
  changed: LocalRangesListener,
  socket: Netlink = new NetlinkSocket(NETLINK_ROUTE),
): LocalRangesWatch {
  const known = new KnownRoutes();
  let pending = false;
  let open = true;
  let earliest = Number.NEGATIVE_INFINITY;
  const read = () => {
    const began = clock.monotonic();
    const gained = known.replace(readLocalRoutes(socket));
    const ended = clock.monotonic();
    earliest = ended + (ended - began) * READ_FACTOR;
    if (gained !== undefined) changed(known.ranges, gained);
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
  const request = () => {
    if (pending) return;
    pending = true;
    const wait = earliest - clock.monotonic();
    if (wait > 0) clock.after(wait, readLater);
    else clock.soon(readLater);
  };
  // Subscribe before the first read, so that no change is missed in between.
  const groups = [RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE];
  const receive = (bytes: Uint8Array | undefined) => {
    if (bytes === undefined) known.forget();
    if (bytes === undefined || known.apply(bytes)) request();
  };
  const subscription = subscribe(NETLINK_ROUTE, groups, clock, receive, { filter: LOCAL_ROUTES });
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

/** The local routes as last read, and what changed since. */
class KnownRoutes {
  /** By range and interface, without those that an event was about since. */
  #routes = new Set<string>();
  #ranges: readonly Cidr[] = [];
  #text = "";

  /** All local ranges, without duplicates. */
  get ranges(): readonly Cidr[] {
    return this.#ranges;
  }

  /**
   * Reads one datagram of events. Reports whether a route that counts was added or removed. If the
   * route is there at the next read, it may have been gone in between. This is so for an addition
   * too: the kernel removes IPv4 routes without an event when their interface loses its last
   * address.
   */
  apply(bytes: Uint8Array): boolean {
    let concerns = false;
    for (const message of messagesIn(bytes)) {
      const route = readRoute(message);
      if (route === undefined) continue;
      concerns = true;
      this.#routes.delete(routeKey(route));
    }
    return concerns;
  }

  /** Call it after events were lost: any route may have been gone in between. */
  forget(): void {
    this.#routes.clear();
  }

  /**
   * Replaces all routes. Returns the ranges that were not local before, or undefined if nothing
   * changed. A range was local before if one of its routes remains. IPv4 routes disappear with
   * their interface without an event, so an equal range of another interface is no proof.
   */
  replace(routes: readonly LocalRoute[]): readonly Cidr[] | undefined {
    const kept = new Set<string>();
    for (const route of routes) if (this.#routes.has(routeKey(route))) kept.add(printCidr(route));
    const gained = routes.filter((route) => !kept.has(printCidr(route)));
    const byText = new Map([...routes, LINK_LOCAL_IPV6].map((range) => [printCidr(range), range]));
    const text = [...byText.keys()].sort().join();
    if (gained.length === 0 && text === this.#text) return undefined;
    this.#routes = new Set(routes.map(routeKey));
    this.#ranges = [...byText.values()];
    this.#text = text;
    return gained;
  }
}

function routeKey(route: LocalRoute): string {
  return `${printCidr(route)} ${route.interfaceIndex}`;
}

function* messagesIn(bytes: Uint8Array): Generator<NetlinkMessage> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + NLMSG_HDRLEN <= bytes.byteLength; ) {
    const length = view.getUint32(at + NLMSG_LENGTH, true);
    if (length < NLMSG_HDRLEN + RTMSG_LEN || at + length > bytes.byteLength) return;
    const type = view.getUint16(at + NLMSG_TYPE, true);
    yield { type, bytes, start: at + NLMSG_HDRLEN, end: at + length };
    at += alignTo4(length);
  }
}
