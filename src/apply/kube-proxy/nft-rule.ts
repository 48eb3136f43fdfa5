/** A rule of iptables-nft, as far as it matters here: where it leads, its comment, and the mark it asks for. */
import type { AttributeReader } from "../netlink/message.ts";
import * as nft from "../nftables/constants.ts";
import type { XtRule } from "./chains.ts";

/** Reads the attributes of an NFT_MSG_NEWRULE. */
export function readXtRule(reader: AttributeReader): XtRule<bigint> {
  let id = 0n;
  let target: string | undefined;
  let comment: string | undefined;
  let mark: number | undefined;
  let plain = true;
  // What the last expression loaded.
  let loaded = -1;
  while (reader.next()) {
    if (reader.type === nft.NFTA_RULE_HANDLE) id = reader.u64();
    if (reader.type !== nft.NFTA_RULE_EXPRESSIONS) continue;
    const list = reader.nested();
    while (list.next()) {
      const { name, data } = readExpression(list.nested());
      if (name !== "immediate" && name !== "counter") plain = false;
      if (name === "immediate") target = readVerdict(data) ?? target;
      else if (name === "match") {
        const match = readMatch(data);
        if (match.name === "comment") comment = match.text;
        else if (match.name === "mark") mark = match.first;
      } else if (name === "meta") loaded = find(data, nft.NFTA_META_KEY)?.u32() ?? -1;
      else if (name === "cmp" && loaded === nft.NFT_META_MARK) {
        mark = find(find(data, nft.NFTA_CMP_DATA)?.nested(), nft.NFTA_DATA_VALUE)?.u32host();
      }
    }
  }
  return { id, target, comment, mark, plain };
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

/**
 * A match of iptables' own, and its struct: xt_comment_info { char comment[256] }, xt_mark_mtinfo1 { __u32 mark, mask;
 * __u8 invert }.
 */
function readMatch(match: AttributeReader | undefined) {
  let name = "";
  let text = "";
  let first = 0;
  while (match?.next()) {
    if (match.type === nft.NFTA_MATCH_NAME) name = match.text();
    else if (match.type === nft.NFTA_MATCH_INFO) {
      text = match.text();
      if (match.end - match.start >= 4) first = match.u32host();
    }
  }
  return { name, text, first };
}

/** Goes to the attribute of this type. */
function find(reader: AttributeReader | undefined, type: number): AttributeReader | undefined {
  while (reader?.next()) if (reader.type === type) return reader;
  return undefined;
}
