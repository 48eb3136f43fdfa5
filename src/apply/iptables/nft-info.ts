/** What nf_tables tells of iptables' tables by netlink: faster than the tools, and nothing is made by asking. */
import type { Family } from "../../plan/tables.ts";
import { NETLINK_NETFILTER, NLM_F_DUMP } from "../netlink/constants.ts";
import { MessageWriter } from "../netlink/message.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import * as nft from "../nftables/constants.ts";
import { readGeneration } from "../nftables/read.ts";
import { askFor, writeQuestion } from "../nftables/request.ts";

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

  /** 0 if there is no such table; roughly, where others change rules meanwhile. Throws as `hasChain`. */
  countRules(family: Family, table: string): number {
    let count = 0;
    writeQuestion(
      this.#writer,
      {
        family: FAMILIES[family],
        type: nft.NFT_MSG_GETRULE,
        attributes: [[nft.NFTA_RULE_TABLE, table]],
      },
      NLM_F_DUMP,
    );
    this.#socket.dump(this.#writer.bytes, this.#writer.length, () => {
      count++;
    });
    return count;
  }

  /** The number of transactions, anybody's, that this network namespace has seen. Throws as `hasChain`. */
  generation(): number {
    return readGeneration(this.#socket);
  }

  close(): void {
    this.#socket.close();
  }
}
