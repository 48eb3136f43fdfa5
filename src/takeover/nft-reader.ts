/**
 * Reads nf_tables tables of other programs: by name where possible, otherwise by dumps that yield
 * to the event loop between two datagrams.
 */
import { type Clock, yieldToEventLoop } from "../base/clock.ts";
import type { IptablesChain, IptablesRule } from "../iptables/syntax/iptables-save.ts";
import type { Family } from "../net/address.ts";
import { NETLINK_NETFILTER, NLM_F_DUMP } from "../netlink/constants.ts";
import { type AttributeReader, MessageWriter } from "../netlink/message.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { ownerOfTable } from "../nftables/remove-table.ts";
import type { Attribute } from "../nftables/wire/expressions.ts";
import * as nft from "../nftables/wire/nf-tables.ts";
import { attributesOf, request, writeRequest } from "../nftables/wire/request.ts";
import { EINVAL, EPROTONOSUPPORT } from "../os/posix.ts";
import { errnoOf } from "../os/system-error.ts";
import { readXtRule } from "./iptables-nft-rule.ts";

/** Families of tables with rules of kube-proxy, by their names in `nft`. */
export const NFT_FAMILIES = { ip: nft.NFPROTO_IPV4, ip6: nft.NFPROTO_IPV6 } as const;
export type NftFamily = keyof typeof NFT_FAMILIES;
export const NFT_FAMILY_NAMES = Object.keys(NFT_FAMILIES) as readonly NftFamily[];

export function familyOf(family: NftFamily): Family {
  return family === "ip" ? 4 : 6;
}

/**
 * Number of attempts at a dump while other programs change tables. The last attempt counts in any
 * case: deletions name each rule by its handle, and the kernel refuses them if the rules have
 * changed since.
 */
const DUMP_ATTEMPTS = 5;

export class NftReader {
  readonly #socket: NetlinkSocket | undefined;
  readonly #clock: Clock;
  readonly #writer = new MessageWriter(1024);

  /** Without a socket, the reader finds nothing. */
  constructor(socket: NetlinkSocket | undefined, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
  }

  /**
   * Returns false if this kernel has no nf_tables, and therefore no rules in it.
   * @throws SluiceError NETLINK_REFUSED, PERMISSION_DENIED, NETLINK_SOCKET
   */
  isAvailable(): boolean {
    try {
      return this.#has("ip", nft.NFT_MSG_GETGEN, []);
    } catch (error) {
      // nfnetlink_rcv_msg in net/netfilter/nfnetlink.c returns EINVAL for an unknown subsystem.
      if (errnoOf(error) === EINVAL) return false;
      throw error;
    }
  }

  /**
   * Reports whether a table exists.
   * @throws SluiceError NETLINK_REFUSED, PERMISSION_DENIED, NETLINK_SOCKET
   */
  hasTable(family: NftFamily, table: string): boolean {
    return this.#has(family, nft.NFT_MSG_GETTABLE, [[nft.NFTA_TABLE_NAME, table]]);
  }

  /** The state of the table of Sluice's nftables mode. Throws like `hasTable`. */
  ownTable(): ReturnType<typeof ownerOfTable> {
    return this.#socket === undefined ? "absent" : ownerOfTable(this.#socket);
  }

  /** Returns false also if the table does not exist. Throws like `hasTable`. */
  hasChain(family: NftFamily, table: string, chain: string): boolean {
    return this.#has(family, nft.NFT_MSG_GETCHAIN, [
      [nft.NFTA_CHAIN_TABLE, table],
      [nft.NFTA_CHAIN_NAME, chain],
    ]);
  }

  /** Finds a chain by its name. Throws like `hasTable`. */
  chain(family: NftFamily, table: string, name: string): IptablesChain | undefined {
    let chain: IptablesChain | undefined;
    const attributes: Attribute[] = [
      [nft.NFTA_CHAIN_TABLE, table],
      [nft.NFTA_CHAIN_NAME, name],
    ];
    this.#has(family, nft.NFT_MSG_GETCHAIN, attributes, (reader) => {
      chain = readChain(reader).chain;
    });
    return chain;
  }

  /** All chains of a table; none if the table does not exist. Throws like `hasTable`. */
  async chains(family: NftFamily, table: string): Promise<IptablesChain[]> {
    let chains: IptablesChain[] = [];
    const restart = () => {
      chains = [];
    };
    await this.#dump(family, nft.NFT_MSG_GETCHAIN, [], restart, (reader) => {
      const { of, chain } = readChain(reader);
      if (of === table) chains.push(chain);
    });
    return chains;
  }

  /** The rules of one chain, with their handles. Throws like `hasTable`. */
  async rules(family: NftFamily, table: string, chain: string): Promise<IptablesRule<bigint>[]> {
    let rules: IptablesRule<bigint>[] = [];
    const restart = () => {
      rules = [];
    };
    const filter: Attribute[] = [
      [nft.NFTA_RULE_TABLE, table],
      [nft.NFTA_RULE_CHAIN, chain],
    ];
    await this.#dump(family, nft.NFT_MSG_GETRULE, filter, restart, (reader) => {
      rules.push(readXtRule(reader));
    });
    return rules;
  }

  /** `each` receives the object if it exists. */
  #has(
    family: NftFamily,
    type: number,
    attributes: readonly Attribute[],
    each: (reader: AttributeReader) => void = () => {},
  ): boolean {
    if (this.#socket === undefined) return false;
    const question = { family: NFT_FAMILIES[family], type, attributes };
    const what = `look for kube-proxy's rules in family ${family}`;
    return request(this.#socket, this.#writer, question, what, each);
  }

  async #dump(
    family: NftFamily,
    type: number,
    attributes: readonly Attribute[],
    restart: () => void,
    each: (reader: AttributeReader) => void,
  ): Promise<void> {
    if (this.#socket === undefined) return;
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      writeRequest(this.#writer, { family: NFT_FAMILIES[family], type, attributes }, NLM_F_DUMP);
      restart();
      const { bytes, length } = this.#writer;
      const parts = this.#socket.dumpParts(bytes, length, (message) => each(attributesOf(message)));
      for (;;) {
        const { done, value: changed } = parts.next();
        if (done && !changed) return;
        if (done) break;
        await yieldToEventLoop(this.#clock);
      }
    }
  }
}

/** Opens a socket for the duration of `list`. */
export async function withNftReader<T>(
  clock: Clock,
  list: (reader: NftReader) => T | Promise<T>,
): Promise<T> {
  const socket = openNetfilter();
  try {
    return await list(new NftReader(socket, clock));
  } finally {
    socket?.close();
  }
}

/** Returns undefined if this kernel has no nfnetlink, and so no nf_tables. */
function openNetfilter(): NetlinkSocket | undefined {
  try {
    return new NetlinkSocket(NETLINK_NETFILTER);
  } catch (error) {
    if (errnoOf(error) === EPROTONOSUPPORT) return undefined;
    throw error;
  }
}

/** Decodes the attributes of an NFT_MSG_NEWCHAIN; `of` is its table. */
function readChain(reader: AttributeReader): { of: string; chain: IptablesChain } {
  let of = "";
  let name = "";
  let base = false;
  let drops = false;
  while (reader.next()) {
    if (reader.type === nft.NFTA_CHAIN_TABLE) of = reader.text();
    else if (reader.type === nft.NFTA_CHAIN_NAME) name = reader.text();
    else if (reader.type === nft.NFTA_CHAIN_HOOK) base = true;
    else if (reader.type === nft.NFTA_CHAIN_POLICY) drops = reader.u32() === nft.NF_DROP;
  }
  return { of, chain: { name, base, drops } };
}
