/** Do rules of the kernel say what we wrote? It hands expressions back in words of its own. */
import { AttributeReader } from "../../netlink/message.ts";
import type { Rule } from "../wire/chains.ts";
import type { Attribute, AttributeValue, Expression } from "../wire/expressions.ts";
import * as nft from "../wire/nf-tables.ts";

/** `found`: the bytes of NFTA_RULE_EXPRESSIONS of each rule of one chain, in order. */
export function sameRules(wanted: readonly Rule[], found: readonly Uint8Array[]): boolean {
  return (
    wanted.length === found.length &&
    wanted.every(({ expressions }, index) => sameRule(expressions, found[index] as Uint8Array))
  );
}

function sameRule(wanted: readonly Expression[], found: Uint8Array): boolean {
  const list = new AttributeReader(found, 0, found.length);
  for (const expression of wanted) {
    if (!list.next() || !sameExpression(expression, list.nested())) return false;
  }
  return !list.next();
}

function sameExpression(wanted: Expression, found: AttributeReader): boolean {
  let name = "";
  let same = wanted.attributes.length === 0;
  while (found.next()) {
    if (found.type === nft.NFTA_EXPR_NAME) name = found.text();
    else if (found.type === nft.NFTA_EXPR_DATA) {
      same = sameAttributes(wanted.attributes, found.nested());
    }
  }
  return same && name === wanted.name;
}

/** Whatever the kernel says besides must be nothing but zeros: that is what it takes for what is left out. */
function sameAttributes(wanted: readonly Attribute[], found: AttributeReader): boolean {
  const missing = new Map<number, AttributeValue>(wanted);
  while (found.next()) {
    const value = missing.get(found.type);
    if (value === undefined) {
      if (found.payload().some((byte) => byte !== 0)) return false;
    } else if (!sameValue(value, found)) return false;
    missing.delete(found.type);
  }
  return missing.size === 0;
}

function sameValue(wanted: AttributeValue, found: AttributeReader): boolean {
  const length = found.end - found.start;
  if (typeof wanted === "number") return length === 4 && found.u32() === wanted;
  if (typeof wanted === "bigint") return length === 8 && found.u64() === wanted;
  if (typeof wanted === "string") return found.text() === wanted;
  if (wanted instanceof Uint8Array) return Buffer.compare(wanted, found.payload()) === 0;
  return sameAttributes(wanted, found.nested());
}
