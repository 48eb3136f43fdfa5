/** Describes chains and rules as data, and writes them as messages. */
import { NLM_F_APPEND, NLM_F_CREATE } from "../../netlink/constants.ts";
import {
  type Attribute,
  type Expression,
  writeAttributes,
  writeExpression,
} from "./expressions.ts";
import type { Batch } from "./message-batch.ts";
import * as nft from "./nf-tables.ts";
import { commentUserdata } from "./userdata.ts";

export interface NftRule {
  /** The rule in the format of `nft list`, without its comment. */
  readonly text: string;
  readonly expressions: readonly Expression[];
  readonly comment?: string;
}

/** The netfilter hook of a base chain. */
export interface Hook {
  readonly type: "nat" | "filter";
  readonly number: number;
  readonly priority: number;
}

export interface Chain {
  readonly name: string;
  /** Present only in base chains; their policy is accept. */
  readonly hook?: Hook;
  readonly rules: readonly NftRule[];
}

/** Builds a rule from expressions and lists of expressions. */
export function rule(text: string, ...parts: (Expression | readonly Expression[])[]): NftRule {
  return { text, expressions: parts.flat() };
}

/** NFT_MSG_NEWCHAIN. If the chain exists, it changes only the policy. */
export function writeChain(batch: Batch, chain: Chain, table = batch.table): void {
  const message = batch.open(nft.NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  const attributes: Attribute[] = [
    [nft.NFTA_CHAIN_TABLE, table],
    [nft.NFTA_CHAIN_NAME, chain.name],
  ];
  if (chain.hook) {
    attributes.push(
      [
        nft.NFTA_CHAIN_HOOK,
        [
          [nft.NFTA_HOOK_HOOKNUM, chain.hook.number],
          [nft.NFTA_HOOK_PRIORITY, chain.hook.priority >>> 0],
        ],
      ],
      [nft.NFTA_CHAIN_POLICY, nft.NF_ACCEPT],
      [nft.NFTA_CHAIN_TYPE, chain.hook.type],
    );
  }
  writeAttributes(batch.writer, attributes);
  batch.close(message);
}

/** NFT_MSG_DELRULE of all rules of a chain. */
export function writeFlush(batch: Batch, chain: string): void {
  const message = batch.open(nft.NFT_MSG_DELRULE, 0);
  writeAttributes(batch.writer, [
    [nft.NFTA_RULE_TABLE, batch.table],
    [nft.NFTA_RULE_CHAIN, chain],
  ]);
  batch.close(message);
}

/** NFT_MSG_NEWRULE for each rule, at the end of the chain. */
export function writeRules(batch: Batch, chain: Chain, table = batch.table): void {
  for (const { expressions, comment: text } of chain.rules) {
    const message = batch.open(nft.NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    writeAttributes(batch.writer, [
      [nft.NFTA_RULE_TABLE, table],
      [nft.NFTA_RULE_CHAIN, chain.name],
    ]);
    const list = batch.writer.open(nft.NFTA_RULE_EXPRESSIONS);
    for (const expression of expressions) {
      writeExpression(batch.writer, nft.NFTA_LIST_ELEM, expression);
    }
    batch.writer.close(list);
    if (text !== undefined) batch.writer.raw(nft.NFTA_RULE_USERDATA, commentUserdata(text));
    batch.close(message);
  }
}
