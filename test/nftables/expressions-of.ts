/** Decodes a rule's expressions to text, to compare two rules by their form in the kernel. */

import { NLA_F_NESTED } from "../../src/netlink/constants.ts";
import { AttributeReader } from "../../src/netlink/message.ts";
import * as nft from "../../src/nftables/wire/nf-tables.ts";

export interface ReadExpression {
  readonly name: string;
  /** Prints `attribute=hex` by number; nested attributes recursively. */
  readonly attributes: readonly string[];
}

export function expressionsOf(bytes: Uint8Array): ReadExpression[] {
  const own = bytes.slice();
  const expressions: ReadExpression[] = [];
  const list = new AttributeReader(own, 0, own.length);
  while (list.next()) {
    const parts = list.nested();
    let name = "";
    let attributes: string[] = [];
    while (parts.next()) {
      if (parts.type === nft.NFTA_EXPR_NAME) name = parts.text();
      else if (parts.type === nft.NFTA_EXPR_DATA) attributes = attributesOf(parts.nested());
    }
    expressions.push({ name, attributes });
  }
  return expressions;
}

function attributesOf(reader: AttributeReader): string[] {
  const attributes: string[] = [];
  while (reader.next()) {
    const bytes = reader.payload().slice();
    // Writers differ in whether they set the flag of nested attributes.
    if (bytes.length >= 4) bytes[3] = (bytes[3] as number) & ~(NLA_F_NESTED >> 8);
    attributes.push(`${reader.type}=${Buffer.from(bytes).toString("hex")}`);
  }
  return attributes.sort();
}

export const printed = ({ name, attributes }: ReadExpression): string =>
  `${name} ${attributes.join(" ")}`;

/** Attributes that name registers, by expression. */
const REGISTERS: { readonly [name: string]: readonly number[] } = {
  payload: [nft.NFTA_PAYLOAD_DREG],
  meta: [nft.NFTA_META_DREG, nft.NFTA_META_SREG],
  ct: [nft.NFTA_CT_DREG],
  fib: [nft.NFTA_FIB_DREG],
  cmp: [nft.NFTA_CMP_SREG],
  bitwise: [nft.NFTA_BITWISE_SREG, nft.NFTA_BITWISE_DREG],
  dynset: [nft.NFTA_DYNSET_SREG_KEY, nft.NFTA_DYNSET_SREG_DATA],
  numgen: [nft.NFTA_NG_DREG],
};

/** The same without registers, for rules with expressions in another order. */
export function withoutRegisters({ name, attributes }: ReadExpression): string {
  const registers = name === "lookup" ? [] : (REGISTERS[name] ?? []);
  const kept = attributes.filter((one) => !registers.some((type) => one.startsWith(`${type}=`)));
  const verdictMap = attributes.includes(`${nft.NFTA_LOOKUP_DREG}=00000000`);
  const lookup = kept.filter(
    (one) => !/^[23]=/.test(one) || (verdictMap && one.startsWith(`${nft.NFTA_LOOKUP_DREG}=`)),
  );
  return `${name} ${(name === "lookup" ? lookup : kept).join(" ")}`;
}

const FAMILY_TEST = `meta ${nft.NFTA_META_DREG}=00000001 ${nft.NFTA_META_KEY}=0000000f`;

/**
 * Leaves out tests of the packet's family. nft puts one before the first address of a rule of the
 * family inet; ours are at the rule's start.
 */
export function withoutFamily(expressions: readonly ReadExpression[]): ReadExpression[] {
  return expressions.filter(
    (one, index) =>
      printed(one) !== FAMILY_TEST &&
      !(index > 0 && printed(expressions[index - 1] as ReadExpression) === FAMILY_TEST),
  );
}
