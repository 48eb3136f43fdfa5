/** A rule of iptables-nft, as far as it matters here: where it leads, and its comment. */
import { type AttributeReader, textOf } from "../netlink/message.ts";
import * as nft from "../nftables/constants.ts";
import type { XtRule } from "./chains.ts";

/** Reads the attributes of an NFT_MSG_NEWRULE. */
export function readXtRule(reader: AttributeReader): XtRule<bigint> {
  let id = 0n;
  let target: string | undefined;
  let comment: string | undefined;
  while (reader.next()) {
    if (reader.type === nft.NFTA_RULE_HANDLE) id = reader.u64();
    if (reader.type !== nft.NFTA_RULE_EXPRESSIONS) continue;
    const list = reader.nested();
    while (list.next()) {
      const { name, data } = readExpression(list.nested());
      if (name === "immediate") target = readVerdict(data) ?? target;
      else if (name === "match") comment = readComment(data) ?? comment;
    }
  }
  return { id, target, comment };
}

function readExpression(reader: AttributeReader) {
  let name = "";
  let data: AttributeReader | undefined;
  while (reader.next()) {
    if (reader.type === nft.NFTA_EXPR_NAME) name = reader.text();
    else if (reader.type === nft.NFTA_EXPR_DATA) data = reader.nested();
  }
  return { name, data };
}

/** The chain of a jump or a goto. */
function readVerdict(immediate: AttributeReader | undefined): string | undefined {
  const data = find(immediate, nft.NFTA_IMMEDIATE_DATA);
  const verdict = find(data?.nested(), nft.NFTA_DATA_VERDICT);
  return find(verdict?.nested(), nft.NFTA_VERDICT_CHAIN)?.text();
}

/** iptables' own comment: struct xt_comment_info { char comment[256] }. */
function readComment(match: AttributeReader | undefined): string | undefined {
  let name = "";
  let text: string | undefined;
  while (match?.next()) {
    if (match.type === nft.NFTA_MATCH_NAME) name = match.text();
    else if (match.type === nft.NFTA_MATCH_INFO) text = textOf(match.bytes, match.start, match.end);
  }
  return name === "comment" ? text : undefined;
}

/** Goes to the attribute of this type. */
function find(reader: AttributeReader | undefined, type: number): AttributeReader | undefined {
  while (reader?.next()) if (reader.type === type) return reader;
  return undefined;
}
