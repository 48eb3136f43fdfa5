/** What nf_tables tells of iptables' tables by netlink: faster than the tools, and nothing is made by asking. */
import type { Family } from "../../../plan/tables.ts";
import { NETLINK_NETFILTER, NLM_F_DUMP } from "../../netlink/constants.ts";
import { MessageWriter } from "../../netlink/message.ts";
import { NetlinkSocket } from "../../netlink/socket.ts";
import * as nft from "../../nftables/constants.ts";
import { readGeneration } from "../../nftables/read.ts";
import { askFor, writeQuestion } from "../../nftables/request.ts";

const FAMILIES = { 4: nft.NFPROTO_IPV4, 6: nft.NFPROTO_IPV6 } as const;

export class NftInfo {
  readonly #socket = new NetlinkSocket(NETLINK_NETFILTER);
  readonly #writer = new MessageWriter(256);

  /** @throws SluiceError NETLINK_REFUSED, where the kernel has no nf_tables; PERMISSION_DENIED, NETLINK_SOCKET */
  hasChain(family: Family, table: string, chain: string): boolean {
    const question = {
      family: FAMILIES[family],
      type: nft.NFT_MSG_GETCHAIN,
      attributes: [
        [nft.NFTA_CHAIN_TABLE, table],
        [nft.NFTA_CHAIN_NAME, chain],
      ],
    } as const;
    const what = `look for chain ${chain} in table ${table} of nf_tables (IPv${family})`;
    return askFor(this.#socket, this.#writer, question, what, () => {});
  }

  /** The number of transactions, anybody's, that this network namespace has seen. Throws as `hasChain`. */
  generation(): number {
    return readGeneration(this.#socket);
  }

  close(): void {
    this.#socket.close();
  }
}

/**
 * How many rules a table has; 0 if there is none. Counting ends soon after `enough`, and is rough where others change
 * rules meanwhile. Throws as `NftInfo.hasChain`.
 */
export function countRules(family: Family, table: string, enough: number): number {
  // A socket of its own: a dump that is not read to its end goes with it.
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    const writer = new MessageWriter(256);
    const attributes = [[nft.NFTA_RULE_TABLE, table]] as const;
    const question = { family: FAMILIES[family], type: nft.NFT_MSG_GETRULE, attributes };
    writeQuestion(writer, question, NLM_F_DUMP);
    let count = 0;
    const parts = socket.dumpParts(writer.bytes, writer.length, () => {
      count++;
    });
    while (count < enough && !parts.next().done);
    return count;
  } finally {
    socket.close();
  }
}
