/** Decodes a rule of iptables-nft: its target, its comment, and the mark that it matches. */

import type { IptablesRule } from "../iptables/syntax/iptables-save.ts";
import { NEW_MATCH, printGuard, printJump } from "../iptables/syntax/jumps.ts";
import type { AttributeReader } from "../netlink/message.ts";
import * as nft from "../nftables/wire/nf-tables.ts";

/** Decodes the attributes of an NFT_MSG_NEWRULE. */
export function readXtRule(reader: AttributeReader): IptablesRule<bigint> {
  let id = 0n;
  let target: string | undefined;
  let comment: string | undefined;
  let mark: number | undefined;
  // The matches in the form of our jumps without comments; undefined if there are others.
  let words: string | undefined = "";
  let jumps = false;
  // Compared with `GUARD_MATCH`.
  const parts: string[] = [];
  // The field that the last expression loaded.
  let loaded = -1;
  while (reader.next()) {
    if (reader.type === nft.NFTA_RULE_HANDLE) id = reader.u64();
    // The userdata may contain a comment.
    if (reader.type === nft.NFTA_RULE_USERDATA) {
      words = undefined;
      parts.push("userdata");
    }
    if (reader.type !== nft.NFTA_RULE_EXPRESSIONS) continue;
    const list = reader.nested();
    while (list.next()) {
      const { name, data, again } = readExpression(list.nested());
      if (name !== "counter") parts.push(printExpression(name, again));
      if (name === "immediate") {
        const verdict = readVerdict(data);
        target = verdict.chain ?? target;
        jumps = verdict.code === nft.NFT_JUMP;
      } else if (name !== "counter" && name !== "match") words = undefined;
      if (name === "match") {
        const match = readMatch(data);
        words = words === "" && match.states === STATES_NEW ? NEW_MATCH : undefined;
        if (match.name === "comment") comment = match.text;
        else if (match.name === "mark") mark = match.first;
      } else if (name === "meta") loaded = find(data, nft.NFTA_META_KEY)?.u32() ?? -1;
      else if (name === "cmp" && loaded === nft.NFT_META_MARK) {
        mark = find(find(data, nft.NFTA_CMP_DATA)?.nested(), nft.NFTA_DATA_VALUE)?.u32host();
      }
    }
  }
  let text =
    jumps && target !== undefined && words !== undefined
      ? printJump({ match: words, to: target })
      : undefined;
  if (parts.join() === GUARD_MATCH) text = printGuard();
  return { id, target, comment, mark, text };
}

/** `printGuard` as iptables-nft has written it since 1.8.6. 1 is NFT_PAYLOAD_NETWORK_HEADER. */
const GUARD_MATCH = [
  `payload 1 12 1`,
  `cmp ${nft.NFT_CMP_NEQ} 7f`,
  `payload 1 16 1`,
  `cmp ${nft.NFT_CMP_EQ} 7f`,
  // The flags, the inverted flags, and RELATED | ESTABLISHED | DNAT.
  "conntrack 010001008600",
  `immediate ${nft.NF_DROP}`,
].join();

/**
 * Prints only what `GUARD_MATCH` needs. 12 and 16 are the offsets of the addresses in an IPv4
 * header.
 */
function printExpression(name: string, data: AttributeReader | undefined): string {
  const words: (string | number)[] = [name];
  if (name === "immediate") words.push(readVerdict(data).code);
  else if (name === "match") {
    const match = readMatch(data);
    return `${match.name} ${match.states}`;
  }
  while (data?.next()) {
    const { type } = data;
    if (name === "payload" && type !== nft.NFTA_PAYLOAD_DREG) words.push(data.u32());
    else if (name === "cmp" && type === nft.NFTA_CMP_OP) words.push(data.u32());
    else if (name === "cmp" && type === nft.NFTA_CMP_DATA) {
      words.push(hex(find(data.nested(), nft.NFTA_DATA_VALUE)?.payload()));
    }
  }
  return words.join(" ");
}

function hex(bytes: Uint8Array = new Uint8Array()): string {
  return Buffer.from(bytes).toString("hex");
}

function readExpression(reader: AttributeReader) {
  let name = "";
  let data: AttributeReader | undefined;
  let again: AttributeReader | undefined;
  while (reader.next()) {
    if (reader.type === nft.NFTA_EXPR_NAME) name = reader.text();
    else if (reader.type === nft.NFTA_EXPR_DATA) {
      data = reader.nested();
      again = reader.nested();
    }
  }
  return { name, data, again };
}

/** The target chain of a jump or goto, and the kind of verdict. */
function readVerdict(immediate: AttributeReader | undefined) {
  const data = find(immediate, nft.NFTA_IMMEDIATE_DATA);
  const verdict = find(data?.nested(), nft.NFTA_DATA_VERDICT)?.nested();
  let chain: string | undefined;
  let code = 0;
  while (verdict?.next()) {
    if (verdict.type === nft.NFTA_VERDICT_CODE) code = verdict.u32() | 0;
    else if (verdict.type === nft.NFTA_VERDICT_CHAIN) chain = verdict.text();
  }
  return { chain, code };
}

/**
 * Offset in struct xt_conntrack_mtinfo3 (linux/netfilter/xt_conntrack.h) of match_flags,
 * invert_flags and state_mask, 16 bits each. Eight addresses of 16 bytes, two expiry times, a
 * protocol and four ports precede them.
 */
const STATES_AT = 146;
const STATES_END = 152;
/** XT_CONNTRACK_STATE, not inverted: XT_CONNTRACK_STATE_BIT(IP_CT_NEW). */
const STATES_NEW = "010000000800";

/**
 * A match of iptables and its struct: xt_comment_info { char comment[256] }, xt_mark_mtinfo1 {
 * __u32 mark, mask; __u8 invert }.
 */
function readMatch(match: AttributeReader | undefined) {
  let name = "";
  let text = "";
  let first = 0;
  let states = "";
  while (match?.next()) {
    if (match.type === nft.NFTA_MATCH_NAME) name = match.text();
    else if (match.type === nft.NFTA_MATCH_INFO) {
      text = match.text();
      if (name === "conntrack") states = hex(match.payload().subarray(STATES_AT, STATES_END));
      if (match.end - match.start >= 4) first = match.u32host();
    }
  }
  return { name, text, first, states };
}

/** Finds the attribute of this type. */
function find(reader: AttributeReader | undefined, type: number): AttributeReader | undefined {
  while (reader?.next()) if (reader.type === type) return reader;
  return undefined;
}
