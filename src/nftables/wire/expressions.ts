/**
 * Builds the expressions of rules. Each function is one kernel expression, as `nft --debug=netlink`
 * prints it. Registers are counted in 32-bit words, 0 to 15.
 */
import type { MessageWriter } from "../../netlink/message.ts";
import * as nft from "./nf-tables.ts";

/** A number is a big-endian u32, a bigint a u64. A string ends in NUL, and a list is nested. */
export type AttributeValue = number | bigint | string | Uint8Array | readonly Attribute[];
export type Attribute = readonly [type: number, value: AttributeValue];

export interface Expression {
  readonly name: string;
  readonly attributes: readonly Attribute[];
}

/** Index of a 32-bit register. A 16-byte value takes four. */
export type Register = number;

/** The register number that the kernel reports: every fourth one is a 16-byte register. */
const register = (index: Register): number =>
  index % 4 === 0 ? nft.NFT_REG_1 + index / 4 : nft.NFT_REG32_00 + index;
const value = (bytes: Uint8Array): readonly Attribute[] => [[nft.NFTA_DATA_VALUE, bytes]];

/** Encodes a host-order u32 as registers hold it. */
export function hostOrderBytes(number: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number, true);
  return bytes;
}

/** payload load LENGTHb @ network header + OFFSET => reg */
export function loadNetworkHeader(offset: number, length: number, to: Register): Expression {
  return payload(nft.NFT_PAYLOAD_NETWORK_HEADER, offset, length, to);
}

/** payload load LENGTHb @ transport header + OFFSET => reg */
export function loadTransportHeader(offset: number, length: number, to: Register): Expression {
  return payload(nft.NFT_PAYLOAD_TRANSPORT_HEADER, offset, length, to);
}

function payload(base: number, offset: number, length: number, to: Register): Expression {
  return {
    name: "payload",
    attributes: [
      [nft.NFTA_PAYLOAD_DREG, register(to)],
      [nft.NFTA_PAYLOAD_BASE, base],
      [nft.NFTA_PAYLOAD_OFFSET, offset],
      [nft.NFTA_PAYLOAD_LEN, length],
    ],
  };
}

/** meta load KEY => reg */
export function meta(key: number, to: Register): Expression {
  return {
    name: "meta",
    attributes: [
      [nft.NFTA_META_KEY, key],
      [nft.NFTA_META_DREG, register(to)],
    ],
  };
}

/** meta set KEY with reg */
export function metaSet(key: number, from: Register): Expression {
  return {
    name: "meta",
    attributes: [
      [nft.NFTA_META_KEY, key],
      [nft.NFTA_META_SREG, register(from)],
    ],
  };
}

/** ct load KEY => reg */
export function ct(key: number, to: Register): Expression {
  return {
    name: "ct",
    attributes: [
      [nft.NFTA_CT_KEY, key],
      [nft.NFTA_CT_DREG, register(to)],
    ],
  };
}

/** ct load KEY => reg, dir original */
export function ctOriginal(key: number, to: Register): Expression {
  return {
    name: "ct",
    attributes: [
      [nft.NFTA_CT_KEY, key],
      [nft.NFTA_CT_DREG, register(to)],
      [nft.NFTA_CT_DIRECTION, Uint8Array.of(nft.IP_CT_DIR_ORIGINAL)],
    ],
  };
}

/** fib saddr|daddr type => reg */
export function fibAddressType(of: "saddr" | "daddr", to: Register): Expression {
  return {
    name: "fib",
    attributes: [
      [nft.NFTA_FIB_DREG, register(to)],
      [nft.NFTA_FIB_RESULT, nft.NFT_FIB_RESULT_ADDRTYPE],
      [nft.NFTA_FIB_FLAGS, of === "saddr" ? nft.NFTA_FIB_F_SADDR : nft.NFTA_FIB_F_DADDR],
    ],
  };
}

/** cmp eq|neq reg BYTES */
export function compareRegister(op: "eq" | "neq", from: Register, bytes: Uint8Array): Expression {
  return {
    name: "cmp",
    attributes: [
      [nft.NFTA_CMP_SREG, register(from)],
      [nft.NFTA_CMP_OP, op === "eq" ? nft.NFT_CMP_EQ : nft.NFT_CMP_NEQ],
      [nft.NFTA_CMP_DATA, value(bytes)],
    ],
  };
}

/** bitwise reg = ( reg & MASK ) ^ XOR */
export function bitwise(at: Register, mask: Uint8Array, xor: Uint8Array): Expression {
  return {
    name: "bitwise",
    attributes: [
      [nft.NFTA_BITWISE_SREG, register(at)],
      [nft.NFTA_BITWISE_DREG, register(at)],
      [nft.NFTA_BITWISE_LEN, mask.length],
      [nft.NFTA_BITWISE_MASK, value(mask)],
      [nft.NFTA_BITWISE_XOR, value(xor)],
    ],
  };
}

/** immediate reg BYTES */
export function immediate(to: Register, bytes: Uint8Array): Expression {
  return {
    name: "immediate",
    attributes: [
      [nft.NFTA_IMMEDIATE_DREG, register(to)],
      [nft.NFTA_IMMEDIATE_DATA, value(bytes)],
    ],
  };
}

type VerdictKind = "drop" | "accept" | "return" | "goto" | "jump";

/** immediate reg 0 drop | accept | return | goto -> CHAIN | jump -> CHAIN */
export function verdict(kind: VerdictKind, chain?: string): Expression {
  return {
    name: "immediate",
    attributes: [
      [nft.NFTA_IMMEDIATE_DREG, nft.NFT_REG_VERDICT],
      [nft.NFTA_IMMEDIATE_DATA, verdictData(kind, chain)],
    ],
  };
}

/** The data of a verdict, in a rule or in an element of a verdict map. */
export function verdictData(kind: VerdictKind, chain?: string): readonly Attribute[] {
  const codes = {
    drop: nft.NF_DROP,
    accept: nft.NF_ACCEPT,
    return: nft.NFT_RETURN,
    goto: nft.NFT_GOTO,
    jump: nft.NFT_JUMP,
  };
  const attributes: Attribute[] = [[nft.NFTA_VERDICT_CODE, codes[kind] >>> 0]];
  if (chain !== undefined) attributes.push([nft.NFTA_VERDICT_CHAIN, chain]);
  return [[nft.NFTA_DATA_VERDICT, attributes]];
}

/** lookup reg set SET [0x1]: a miss ends the rule, or a hit if `inverted`. */
export function lookup(set: string, key: Register, inverted = false): Expression {
  return {
    name: "lookup",
    attributes: [
      [nft.NFTA_LOOKUP_SET, set],
      [nft.NFTA_LOOKUP_SREG, register(key)],
      ...(inverted ? [[nft.NFTA_LOOKUP_FLAGS, nft.NFT_LOOKUP_F_INV] as const] : []),
    ],
  };
}

/** lookup reg set MAP dreg: loads the map's value; a miss ends the rule. */
export function lookupValue(map: string, key: Register, to: Register): Expression {
  return {
    name: "lookup",
    attributes: [
      [nft.NFTA_LOOKUP_SET, map],
      [nft.NFTA_LOOKUP_SREG, register(key)],
      [nft.NFTA_LOOKUP_DREG, register(to)],
    ],
  };
}

/** lookup reg set MAP dreg 0: executes the verdict in the map; a miss ends the rule. */
export function lookupVerdict(map: string, key: Register): Expression {
  return {
    name: "lookup",
    attributes: [
      [nft.NFTA_LOOKUP_SET, map],
      [nft.NFTA_LOOKUP_SREG, register(key)],
      [nft.NFTA_LOOKUP_DREG, nft.NFT_REG_VERDICT],
    ],
  };
}

/** dynset delete reg_key set MAP sreg_data: deletes the key, if it exists */
export function deleteFromMap(map: string, key: Register, data: Register): Expression {
  return {
    name: "dynset",
    attributes: [
      [nft.NFTA_DYNSET_SREG_KEY, register(key)],
      [nft.NFTA_DYNSET_SREG_DATA, register(data)],
      [nft.NFTA_DYNSET_OP, nft.NFT_DYNSET_OP_DELETE],
      [nft.NFTA_DYNSET_SET_NAME, map],
    ],
  };
}

/**
 * dynset update reg_key set MAP sreg_data timeout SECONDS: adds the key, or restarts its timeout.
 * An existing key keeps its data.
 */
export function updateMap(map: string, key: Register, data: Register, seconds: number): Expression {
  return {
    name: "dynset",
    attributes: [
      [nft.NFTA_DYNSET_SREG_KEY, register(key)],
      [nft.NFTA_DYNSET_SREG_DATA, register(data)],
      [nft.NFTA_DYNSET_OP, nft.NFT_DYNSET_OP_UPDATE],
      [nft.NFTA_DYNSET_TIMEOUT, BigInt(seconds) * 1000n],
      [nft.NFTA_DYNSET_SET_NAME, map],
    ],
  };
}

/** dynset update reg_key set SET timeout SECONDS: adds the key, or restarts its timeout. */
export function updateSet(set: string, key: Register, seconds: number): Expression {
  return {
    name: "dynset",
    attributes: [
      [nft.NFTA_DYNSET_SREG_KEY, register(key)],
      [nft.NFTA_DYNSET_OP, nft.NFT_DYNSET_OP_UPDATE],
      [nft.NFTA_DYNSET_TIMEOUT, BigInt(seconds) * 1000n],
      [nft.NFTA_DYNSET_SET_NAME, set],
    ],
  };
}

/** numgen reg = random mod MODULUS, in host order */
export function randomNumber(modulus: number, to: Register): Expression {
  return {
    name: "numgen",
    attributes: [
      [nft.NFTA_NG_DREG, register(to)],
      [nft.NFTA_NG_TYPE, nft.NFT_NG_RANDOM],
      [nft.NFTA_NG_MODULUS, modulus],
      [nft.NFTA_NG_OFFSET, 0],
    ],
  };
}

/**
 * nat dnat ip|ip6 addr_min reg proto_min reg. Also sets the attributes that the kernel would fill
 * in (each range ends where it starts), so that the rule reads back unchanged.
 */
export function dnat(nfproto: number, address: Register, port: Register): Expression {
  return {
    name: "nat",
    attributes: [
      [nft.NFTA_NAT_TYPE, nft.NFT_NAT_DNAT],
      [nft.NFTA_NAT_FAMILY, nfproto],
      [nft.NFTA_NAT_REG_ADDR_MIN, register(address)],
      [nft.NFTA_NAT_REG_ADDR_MAX, register(address)],
      [nft.NFTA_NAT_REG_PROTO_MIN, register(port)],
      [nft.NFTA_NAT_REG_PROTO_MAX, register(port)],
      [nft.NFTA_NAT_FLAGS, nft.NF_NAT_RANGE_MAP_IPS | nft.NF_NAT_RANGE_PROTO_SPECIFIED],
    ],
  };
}

/** masq flags 0x10: uses a random source port, so that two connections do not clash. */
export function masqueradeExpression(): Expression {
  return {
    name: "masq",
    attributes: [[nft.NFTA_MASQ_FLAGS, nft.NF_NAT_RANGE_PROTO_RANDOM_FULLY]],
  };
}

/** reject type 2 code 1: port unreachable, in the ICMP of the packet's family. */
export function rejectExpression(): Expression {
  return {
    name: "reject",
    attributes: [
      [nft.NFTA_REJECT_TYPE, nft.NFT_REJECT_ICMPX_UNREACH],
      [nft.NFTA_REJECT_ICMP_CODE, Uint8Array.of(nft.NFT_REJECT_ICMPX_PORT_UNREACH)],
    ],
  };
}

/** Writes attributes, including nested ones. */
export function writeAttributes(writer: MessageWriter, attributes: readonly Attribute[]): void {
  for (const [type, content] of attributes) {
    if (typeof content === "number") writer.u32(type, content);
    else if (typeof content === "bigint") writer.u64(type, content);
    else if (typeof content === "string") writer.text(type, content);
    else if (content instanceof Uint8Array) writer.raw(type, content);
    else {
      const start = writer.open(type);
      writeAttributes(writer, content);
      writer.close(start);
    }
  }
}

/** Writes one expression as NFTA_EXPR_NAME and NFTA_EXPR_DATA under `type`. */
export function writeExpression(writer: MessageWriter, type: number, expression: Expression): void {
  writeAttributes(writer, [
    [
      type,
      [
        [nft.NFTA_EXPR_NAME, expression.name],
        [nft.NFTA_EXPR_DATA, expression.attributes],
      ],
    ],
  ]);
}
