/**
 * Reads iptables' tables in nf_tables over netlink. It is faster than the tools and does not create
 * tables.
 */
import type { Family } from "../../net/address.ts";
import { NETLINK_NETFILTER, NLM_F_DUMP } from "../../netlink/constants.ts";
import { type AttributeReader, MessageWriter } from "../../netlink/message.ts";
import { NetlinkSocket } from "../../netlink/socket.ts";
import * as nft from "../../nftables/wire/nf-tables.ts";
import {
  attributesOf,
  type GetRequest,
  readGeneration,
  request,
  writeRequest,
} from "../../nftables/wire/request.ts";

const FAMILIES = { 4: nft.NFPROTO_IPV4, 6: nft.NFPROTO_IPV6 } as const;

export class NftInfo {
  readonly #socket = new NetlinkSocket(NETLINK_NETFILTER);
  readonly #writer = new MessageWriter(256);

  /**
   * Reports whether a chain exists.
   * @throws SluiceError NETLINK_REFUSED, if the kernel has no nf_tables; PERMISSION_DENIED,
   * NETLINK_SOCKET
   */
  hasChain(family: Family, table: string, chain: string): boolean {
    const question = {
      family: FAMILIES[family],
      type: nft.NFT_MSG_GETCHAIN,
      attributes: [
        [nft.NFTA_CHAIN_TABLE, table],
        [nft.NFTA_CHAIN_NAME, chain],
      ],
    } as const;
    const what = `look up chain ${chain} in nf_tables table ${table} (IPv${family})`;
    return request(this.#socket, this.#writer, question, what, () => {});
  }

  /**
   * The number of transactions in this network namespace, by any process. Throws like `hasChain`.
   */
  generation(): number {
    return readGeneration(this.#socket);
  }

  close(): void {
    this.#socket.close();
  }
}

/** All chains of these tables. Throws like `NftInfo.hasChain`. */
export function listChains(
  family: Family,
  tables: readonly string[],
): { table: string; chain: string }[] {
  const found: { table: string; chain: string }[] = [];
  const question = { family: FAMILIES[family], type: nft.NFT_MSG_GETCHAIN, attributes: [] };
  dumpRules(question, Number.POSITIVE_INFINITY, (reader) => {
    let table = "";
    let chain = "";
    while (reader.next()) {
      if (reader.type === nft.NFTA_CHAIN_TABLE) table = reader.text();
      else if (reader.type === nft.NFTA_CHAIN_NAME) chain = reader.text();
    }
    if (tables.includes(table)) found.push({ table, chain });
    return 0;
  });
  return found;
}

/**
 * Counts the rules of a chain, and how many of them name a chain for which `names` returns true.
 * Both are 0 if the chain does not exist. Stops soon after `enough`. The result is approximate if
 * other programs change rules meanwhile. Throws like `NftInfo.hasChain`.
 */
export function countRules(
  family: Family,
  { table, chain }: { readonly table: string; readonly chain: string },
  enough: number,
  names: (chain: string) => boolean,
): { rules: number; naming: number } {
  const attributes = [
    [nft.NFTA_RULE_TABLE, table],
    [nft.NFTA_RULE_CHAIN, chain],
  ] as const;
  const question = { family: FAMILIES[family], type: nft.NFT_MSG_GETRULE, attributes };
  const count = { rules: 0, naming: 0 };
  dumpRules(question, enough, (reader) => {
    count.rules++;
    while (reader.next()) {
      if (reader.type !== nft.NFTA_RULE_EXPRESSIONS) continue;
      // The expressions contain the name of the chain that the rule jumps to as plain text.
      const words = Buffer.from(reader.bytes.subarray(reader.start, reader.end)).toString("latin1");
      const [goal] = /KUBE-[\w.:/-]+/.exec(words) ?? [];
      if (goal !== undefined && names(goal)) count.naming++;
    }
    return 1;
  });
  return count;
}

/** Dumps until the sum of the numbers that `each` returns reaches `enough`. */
function dumpRules(
  question: GetRequest,
  enough: number,
  each: (reader: AttributeReader) => number,
): void {
  // Closing the socket ends an unfinished dump, so each dump has its own socket.
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    const writer = new MessageWriter(256);
    writeRequest(writer, question, NLM_F_DUMP);
    let sum = 0;
    const parts = socket.dumpParts(writer.bytes, writer.length, (message) => {
      sum += each(attributesOf(message));
    });
    while (sum < enough && !parts.next().done);
  } finally {
    socket.close();
  }
}
