/** A rule of iptables-nft, as far as it matters here: where it leads, its comment, and the mark it asks for. */
import type { AttributeReader } from "../netlink/message.ts";
import * as nft from "../nftables/constants.ts";
import { NEW, printJump } from "../xtables/jumps.ts";
import type { XtRule } from "../xtables/save.ts";

/** Reads the attributes of an NFT_MSG_NEWRULE. */
export function readXtRule(reader: AttributeReader): XtRule<bigint> {
  let id = 0n;
  let target: string | undefined;
  let comment: string | undefined;
  let mark: number | undefined;
  // What it matches, as our jumps without comments do; undefined: something else.
  let words: string | undefined = "";
  let jumps = false;
  // What the last expression loaded.
  let loaded = -1;
  while (reader.next()) {
    if (reader.type === nft.NFTA_RULE_HANDLE) id = reader.u64();
    // A comment may be there.
    if (reader.type === nft.NFTA_RULE_USERDATA) words = undefined;
    if (reader.type !== nft.NFTA_RULE_EXPRESSIONS) continue;
    const list = reader.nested();
    while (list.next()) {
      const { name, data } = readExpression(list.nested());
      if (name === "immediate") {
        const verdict = readVerdict(data);
        target = verdict.chain ?? target;
        jumps = verdict.code === nft.NFT_JUMP;
      } else if (name !== "counter" && name !== "match") words = undefined;
      if (name === "match") {
        const match = readMatch(data);
        words = words === "" && match.isNew ? NEW : undefined;
        if (match.name === "comment") comment = match.text;
        else if (match.name === "mark") mark = match.first;
      } else if (name === "meta") loaded = find(data, nft.NFTA_META_KEY)?.u32() ?? -1;
      else if (name === "cmp" && loaded === nft.NFT_META_MARK) {
        mark = find(find(data, nft.NFTA_CMP_DATA)?.nested(), nft.NFTA_DATA_VALUE)?.u32host();
      }
    }
  }
  const text =
    jumps && target !== undefined && words !== undefined
      ? printJump({ match: words, to: target })
      : undefined;
  return { id, target, comment, mark, text };
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

/** The chain of a jump or a goto, and which of them it is. */
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

// struct xt_conntrack_mtinfo3 (linux/netfilter/xt_conntrack.h): before these fields, eight addresses of 16 bytes, two
// expiry times, a protocol and four ports. `invert_flags` is between them.
const CONNTRACK_FLAGS_AT = 146;
const CONNTRACK_STATE_AT = 150;
/** XT_CONNTRACK_STATE alone, not inverted. */
const ONLY_STATE = 1;
/** XT_CONNTRACK_STATE_BIT(IP_CT_NEW) */
const STATE_NEW = 1 << 3;

/** Is this `-m conntrack --ctstate NEW`? */
function matchesNew(info: AttributeReader): boolean {
  const payload = info.payload();
  if (payload.length < CONNTRACK_STATE_AT + 2) return false;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  return (
    view.getUint32(CONNTRACK_FLAGS_AT, true) === ONLY_STATE &&
    view.getUint16(CONNTRACK_STATE_AT, true) === STATE_NEW
  );
}

/**
 * A match of iptables' own, and its struct: xt_comment_info { char comment[256] }, xt_mark_mtinfo1 { __u32 mark, mask;
 * __u8 invert }.
 */
function readMatch(match: AttributeReader | undefined) {
  let name = "";
  let text = "";
  let first = 0;
  let isNew = false;
  while (match?.next()) {
    if (match.type === nft.NFTA_MATCH_NAME) name = match.text();
    else if (match.type === nft.NFTA_MATCH_INFO) {
      text = match.text();
      isNew = name === "conntrack" && matchesNew(match);
      if (match.end - match.start >= 4) first = match.u32host();
    }
  }
  return { name, text, first, isNew };
}

/** Goes to the attribute of this type. */
function find(reader: AttributeReader | undefined, type: number): AttributeReader | undefined {
  while (reader?.next()) if (reader.type === type) return reader;
  return undefined;
}
