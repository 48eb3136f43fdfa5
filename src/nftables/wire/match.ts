/**
 * Builds groups of expressions for the rules of both families. Registers are filled from 0 upwards.
 */

import type { LocalDetector } from "../../backend/skeleton-options.ts";
import { tableId, tableLabel } from "../../model/tables.ts";
import {
  ADDRESS_BYTES,
  type Cidr,
  type Family,
  printAddress,
  printCidr,
} from "../../net/address.ts";
import { LOOPBACK } from "../../net/cidr.ts";
import { RTN_LOCAL } from "../../netlink/constants.ts";
import {
  bitwise,
  compareRegister,
  ct,
  ctOriginal,
  type Expression,
  fibAddressType,
  hostOrderBytes,
  immediate,
  loadNetworkHeader,
  loadTransportHeader,
  lookup,
  lookupValue,
  lookupVerdict,
  meta,
  metaSet,
  type Register,
} from "./expressions.ts";
import * as nft from "./nf-tables.ts";
import { type Dispatch, dispatchMap } from "./object-names.ts";

/** 32-bit registers that an address takes. */
export function addressWords(family: Family): number {
  return family === 4 ? 1 : 4;
}

/** Offset of the source address in the network header. */
export function sourceOffset(family: Family): number {
  return family === 4 ? 12 : 8;
}

/** Offset of the destination address in the network header. */
export function destinationOffset(family: Family): number {
  return sourceOffset(family) + ADDRESS_BYTES[family];
}

/** ip saddr, ip6 saddr */
export function loadSource(family: Family, to: Register): Expression {
  return loadNetworkHeader(sourceOffset(family), ADDRESS_BYTES[family], to);
}

/** ip daddr, ip6 daddr */
export function loadDestination(family: Family, to: Register): Expression {
  return loadNetworkHeader(destinationOffset(family), ADDRESS_BYTES[family], to);
}

/** meta l4proto . th dport */
export function loadPortKey(to: Register): readonly Expression[] {
  return [meta(nft.NFT_META_L4PROTO, to), loadTransportHeader(2, 2, to + 1)];
}

/** ip daddr . meta l4proto . th dport: a frontend */
export function matchFrontendKey(family: Family, to: Register): readonly Expression[] {
  return [loadDestination(family, to), ...loadPortKey(to + addressWords(family))];
}

/** meta l4proto . ct original proto-dst: the requested port, readable after translation */
export function matchOriginalPortKey(to: Register): readonly Expression[] {
  return [meta(nft.NFT_META_L4PROTO, to), ctOriginal(nft.NFT_CT_PROTO_DST, to + 1)];
}

/** ct original ip daddr */
export function matchOriginalDestination(family: Family, to: Register): Expression {
  return ctOriginal(family === 4 ? nft.NFT_CT_DST_IP : nft.NFT_CT_DST_IP6, to);
}

/** Register for an action's number while conditions are checked. No key reaches it. */
const ACTION: Register = 12;

/**
 * CONDITIONS meta priority set KEY map @MAP meta priority vmap @choices. The first lookup comes
 * before the conditions, because most packets end there.
 *
 * The number passes from one lookup to the next in the packet's priority, not in a register. nft up
 * to 1.0.7 aborts when it lists a map that is looked up by a value of another map. The priority is
 * the least valuable field to borrow: forwarding overwrites it, and here the packet is the first of
 * a connection.
 */
export function dispatch(
  kind: Dispatch,
  family: Family,
  key: readonly Expression[],
  map: string,
  conditions: readonly Expression[] = [],
): readonly Expression[] {
  const action = conditions.length > 0 ? ACTION : 0;
  return [
    ...key,
    lookupValue(map, 0, action),
    ...conditions,
    metaSet(nft.NFT_META_PRIORITY, action),
    meta(nft.NFT_META_PRIORITY, 0),
    lookupVerdict(dispatchMap(kind, family), 0),
  ];
}

/** meta priority set none: clears the field that `dispatch` borrowed. */
export function resetPriority(): readonly Expression[] {
  return [immediate(0, hostOrderBytes(0)), metaSet(nft.NFT_META_PRIORITY, 0)];
}

/** meta nfproto ipv4|ipv6 */
export function matchFamily(family: Family): readonly Expression[] {
  const protocol = family === 4 ? nft.NFPROTO_IPV4 : nft.NFPROTO_IPV6;
  return [meta(nft.NFT_META_NFPROTO, 0), compareRegister("eq", 0, Uint8Array.of(protocol))];
}

/** ct status dnat */
export function matchTranslated(): readonly Expression[] {
  return [
    ct(nft.NFT_CT_STATUS, 0),
    bitwise(0, hostOrderBytes(nft.IPS_DST_NAT), hostOrderBytes(0)),
    compareRegister("neq", 0, hostOrderBytes(0)),
  ];
}

const LOOPBACK_INDEX = 1;

/** oif != "lo", which has this index in every network namespace: not from the node to itself */
export function matchLeaving(): readonly Expression[] {
  return [meta(nft.NFT_META_OIF, 0), compareRegister("neq", 0, hostOrderBytes(LOOPBACK_INDEX))];
}

/** ct state invalid */
export function matchInvalid(): readonly Expression[] {
  return matchState(nft.NF_CT_STATE_INVALID_BIT);
}

/** ct state new */
export function matchNew(): readonly Expression[] {
  return matchState(nft.NF_CT_STATE_NEW_BIT);
}

function matchState(bit: number): readonly Expression[] {
  return [
    ct(nft.NFT_CT_STATE, 0),
    bitwise(0, hostOrderBytes(bit), hostOrderBytes(0)),
    compareRegister("neq", 0, hostOrderBytes(0)),
  ];
}

/** fib saddr|daddr type local, or != local */
export function matchLocal(op: "eq" | "neq", of: "saddr" | "daddr"): readonly Expression[] {
  return [fibAddressType(of, 0), compareRegister(op, 0, hostOrderBytes(RTN_LOCAL))];
}

/** meta mark & BIT != 0 */
export function matchMark(bit: number): readonly Expression[] {
  return [
    meta(nft.NFT_META_MARK, 0),
    bitwise(0, hostOrderBytes(2 ** bit), hostOrderBytes(0)),
    compareRegister("neq", 0, hostOrderBytes(0)),
  ];
}

/** meta mark set meta mark | BIT */
export function setMark(bit: number): readonly Expression[] {
  return [
    meta(nft.NFT_META_MARK, 0),
    bitwise(0, hostOrderBytes(~(2 ** bit) >>> 0), hostOrderBytes(2 ** bit)),
    metaSet(nft.NFT_META_MARK, 0),
  ];
}

/** meta mark set meta mark & ~BIT */
export function clearMark(bit: number): readonly Expression[] {
  return [
    meta(nft.NFT_META_MARK, 0),
    bitwise(0, hostOrderBytes(~(2 ** bit) >>> 0), hostOrderBytes(0)),
    metaSet(nft.NFT_META_MARK, 0),
  ];
}

/**
 * A match with its nft text. The rule must test the packet's family first, because nft cannot print
 * it otherwise.
 */
export interface Match {
  readonly text: string;
  readonly expressions: readonly Expression[];
}

const encoder = new TextEncoder();
const IFNAMSIZ = 16;

/**
 * ip saddr != CIDR, iifname != "NAME" or iifname != "PREFIX*": not a local pod. Undefined if the
 * detector cannot tell.
 */
export function matchNonPods(detector: LocalDetector, family: Family): Match | undefined {
  if (detector.kind === "interface") {
    const name = encoder.encode(detector.name).subarray(0, IFNAMSIZ - 1);
    const bytes = new Uint8Array(detector.prefix ? name.length : IFNAMSIZ);
    bytes.set(name);
    return {
      text: `iifname != "${detector.name}${detector.prefix ? "*" : ""}"`,
      expressions: [meta(nft.NFT_META_IIFNAME, 0), compareRegister("neq", 0, bytes)],
    };
  }
  const cidr = family === 4 ? detector.ipv4 : detector.ipv6;
  if (cidr === undefined) return undefined;
  const text = `${family === 4 ? "ip" : "ip6"} saddr != ${printCidr(cidr)}`;
  return { text, expressions: matchOutside(cidr, family === 4 ? 12 : 8) };
}

/**
 * ip daddr != 127.0.0.0/8 ip daddr @node-port-ranges4 fib daddr type local: an address that serves
 * node ports. The kernel decides which addresses are local, so that a new one serves at once.
 */
export function matchNodePortAddress(family: Family): Match {
  const daddr = family === 4 ? "ip daddr" : "ip6 daddr";
  const loopback = LOOPBACK[family];
  const ranges = tableLabel(tableId("node-port-ranges", family));
  const whole = loopback.prefix === loopback.bytes.length * 8;
  const loopbackText = whole ? printAddress(loopback.bytes) : printCidr(loopback);
  return {
    text: `${daddr} != ${loopbackText} ${daddr} @${ranges} fib daddr type local`,
    expressions: [
      ...matchOutside(loopback, family === 4 ? 16 : 24),
      ...[loadDestination(family, 0), lookup(ranges, 0)],
      ...matchLocal("eq", "daddr"),
    ],
  };
}

/**
 * Matches addresses at this offset in the header that are not in the range. Compares like nft: a
 * prefix of whole bytes loads only these bytes; others need a mask.
 */
function matchOutside(cidr: Cidr, offset: number): readonly Expression[] {
  const length = cidr.bytes.length;
  if (cidr.prefix % 8 === 0 && cidr.prefix > 0) {
    const whole = cidr.prefix / 8;
    return [
      loadNetworkHeader(offset, whole, 0),
      compareRegister("neq", 0, cidr.bytes.subarray(0, whole)),
    ];
  }
  const mask = new Uint8Array(length);
  for (let bit = 0; bit < cidr.prefix; bit++) {
    mask[bit >> 3] = (mask[bit >> 3] as number) | (128 >> (bit & 7));
  }
  return [
    loadNetworkHeader(offset, length, 0),
    bitwise(0, mask, new Uint8Array(length)),
    compareRegister("neq", 0, cidr.bytes),
  ];
}
