/**
 * Encodes userdata, which the kernel stores and returns unchanged. nft reads comments and the
 * declared types of sets from it. Format: { u8 type, u8 length, value }, possibly nested
 * (libnftnl's udata.h).
 */
import * as nft from "./nf-tables.ts";

type Udata = readonly [type: number, value: number | string | readonly Udata[]];

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** The length is one byte and the text ends in NUL. nft refuses to create longer comments. */
export const COMMENT_MAX = 127;

function encode(items: readonly Udata[]): number[] {
  return items.flatMap(([type, value]) => {
    const bytes =
      typeof value === "number"
        ? [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24]
        : typeof value === "string"
          ? [...encoder.encode(value), 0]
          : encode(value);
    return [type, bytes.length, ...bytes];
  });
}

/**
 * Encodes a comment on a table, rule or element; all have type 0. Cuts at 127 bytes, between
 * characters.
 */
export function commentUserdata(text: string): Uint8Array {
  let cut = text;
  while (encoder.encode(cut).length > COMMENT_MAX) cut = cut.slice(0, -1);
  return Uint8Array.from(encode([[nft.NFTNL_UDATA_TABLE_COMMENT, cut]]));
}

/** The comment in userdata, if there is one. */
export function readComment(bytes: Uint8Array): string | undefined {
  for (let offset = 0; offset + 2 <= bytes.length; ) {
    const length = bytes[offset + 1] as number;
    if (bytes[offset] === nft.NFTNL_UDATA_TABLE_COMMENT && length > 0) {
      return decoder.decode(bytes.subarray(offset + 2, offset + 1 + length));
    }
    offset += 2 + length;
  }
  return undefined;
}

/** A part of a typeof declaration. */
export type Typeof =
  | "ip saddr"
  | "ip daddr"
  | "ip6 saddr"
  | "ip6 daddr"
  | "meta l4proto"
  | "meta priority"
  | "th dport"
  | "numgen random mod 65536"
  | "@nh,0,8";

/** nftables' enum byteorder: the byte order of a plain key or value. */
export const BYTEORDER_HOST = 1;
export const BYTEORDER_BIG = 2;

// nftables' include/expression.h: enum expr_types
const EXPR_PAYLOAD = 7;
const EXPR_META = 9;
const EXPR_CONCAT = 13;
const EXPR_NUMGEN = 23;
/** nftables' enum proto_bases. */
const NETWORK_HEADER = 2;

/**
 * A payload expression: enum proto_desc_id of nftables' proto.h, and the field's index in the
 * protocol's template.
 */
function payload(description: number, field: number): readonly Udata[] {
  return expression(EXPR_PAYLOAD, [
    [0, description],
    [1, field],
  ]);
}

/** A byte at any offset from the start of a header. */
function rawByte(header: number): readonly Udata[] {
  return expression(EXPR_PAYLOAD, [
    [0, 0],
    [1, 0],
    [2, header],
    [3, 0],
    [4, 8],
  ]);
}

function expression(type: number, data: readonly Udata[]): readonly Udata[] {
  return [
    [nft.NFTNL_UDATA_SET_TYPEOF_EXPR, type],
    [nft.NFTNL_UDATA_SET_TYPEOF_DATA, data],
  ];
}

const PARTS: { readonly [part in Typeof]: readonly Udata[] } = {
  "ip saddr": payload(12, 11),
  "ip daddr": payload(12, 12),
  "ip6 saddr": payload(13, 8),
  "ip6 daddr": payload(13, 9),
  "th dport": payload(11, 2),
  "meta l4proto": expression(EXPR_META, [[0, nft.NFT_META_L4PROTO]]),
  "meta priority": expression(EXPR_META, [[0, nft.NFT_META_PRIORITY]]),
  "numgen random mod 65536": expression(EXPR_NUMGEN, [
    [0, nft.NFT_NG_RANDOM],
    [1, 65536],
    [2, 0],
  ]),
  "@nh,0,8": rawByte(NETWORK_HEADER),
};

/** A single part has the byte order of its type; a concatenation has none. */
function byteOrder(parts: readonly Typeof[]): number {
  if (parts.length > 1) return 0;
  return parts[0]?.startsWith("meta") ? BYTEORDER_HOST : BYTEORDER_BIG;
}

function typeofParts(parts: readonly Typeof[]): readonly Udata[] {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return PARTS[first];
  return expression(
    EXPR_CONCAT,
    parts.map((part, index) => [index, PARTS[part]]),
  );
}

/** Tells nft to print a set as declared by `typeof KEY` or `typeof KEY : DATA`. */
export function typeofUserdata(key: readonly Typeof[], data?: readonly Typeof[]): Uint8Array {
  const keyType: Udata = [nft.NFTNL_UDATA_SET_KEY_TYPEOF, typeofParts(key)];
  const items: Udata[] = [[nft.NFTNL_UDATA_SET_KEYBYTEORDER, byteOrder(key)]];
  if (data === undefined) items.push(keyType);
  else {
    items.push([nft.NFTNL_UDATA_SET_DATABYTEORDER, byteOrder(data)], keyType);
    items.push([nft.NFTNL_UDATA_SET_DATA_TYPEOF, typeofParts(data)]);
  }
  return Uint8Array.from(encode(items));
}

/** Tells nft to print a set as declared by `type`. */
export function typeUserdata(keyOrder: number, dataOrder?: number): Uint8Array {
  const items: Udata[] = [[nft.NFTNL_UDATA_SET_KEYBYTEORDER, keyOrder]];
  if (dataOrder !== undefined) items.push([nft.NFTNL_UDATA_SET_DATABYTEORDER, dataOrder]);
  return Uint8Array.from(encode(items));
}
