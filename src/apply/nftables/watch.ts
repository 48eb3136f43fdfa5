/** Who else changes our table: the events of nf_tables, but for those of our own transactions. */
import type { Clock } from "../../clock.ts";
import type { ForeignChange } from "../backend.ts";
import {
  NETLINK_NETFILTER,
  NFGENMSG_LEN,
  NFNL_SUBSYS_NFTABLES,
  NFNLGRP_NFTABLES,
  NLMSG_HDRLEN,
} from "../netlink/constants.ts";
import { type Subscription, subscribe } from "../netlink/events.ts";
import { AttributeReader, align } from "../netlink/message.ts";
import * as nft from "./constants.ts";
import { TABLE } from "./names.ts";

/** More objects of one transaction are not told. */
const NAMED_MAX = 8;

/** Names of what a message is about: an attribute behind that of the table, which is 1 in all of them. */
const OBJECTS: readonly {
  readonly last: number;
  readonly attribute: number;
  readonly noun: string;
}[] = [
  { last: nft.NFT_MSG_DELTABLE, attribute: 0, noun: "the table" },
  { last: nft.NFT_MSG_DELCHAIN, attribute: nft.NFTA_CHAIN_NAME, noun: "chain" },
  { last: nft.NFT_MSG_DELRULE, attribute: nft.NFTA_RULE_CHAIN, noun: "rules of" },
  { last: nft.NFT_MSG_DELSET, attribute: nft.NFTA_SET_NAME, noun: "map" },
  { last: nft.NFT_MSG_DELSETELEM, attribute: nft.NFTA_SET_ELEM_LIST_SET, noun: "elements of" },
];

/**
 * Calls back after each transaction of somebody else that touched our table, or may have. Those of the socket
 * with the port id `own` do not even wake us.
 * @throws SluiceError NETLINK_SOCKET
 */
export function watchTable(
  own: number,
  clock: Clock,
  changed: (change: ForeignChange) => void,
): Subscription {
  const reader = new TransactionReader(changed);
  return subscribe(
    NETLINK_NETFILTER,
    [NFNLGRP_NFTABLES],
    clock,
    (bytes) => (bytes === undefined ? reader.lost() : reader.read(bytes)),
    { ignore: own },
  );
}

/**
 * Reads events. The kernel tells all that a transaction did, then NFT_MSG_NEWGEN, which names its process;
 * transactions do not mingle.
 */
export class TransactionReader {
  readonly #changed: (change: ForeignChange) => void;
  readonly #objects = new Set<string>();

  constructor(changed: (change: ForeignChange) => void) {
    this.#changed = changed;
  }

  /** One datagram. */
  read(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at + NLMSG_HDRLEN + NFGENMSG_LEN <= bytes.byteLength; ) {
      const length = view.getUint32(at, true);
      if (length < NLMSG_HDRLEN + NFGENMSG_LEN || at + length > bytes.byteLength) return;
      const type = view.getUint16(at + 4, true);
      const family = bytes[at + NLMSG_HDRLEN];
      if (type >> 8 === NFNL_SUBSYS_NFTABLES) {
        const start = at + NLMSG_HDRLEN + NFGENMSG_LEN;
        const attributes = new AttributeReader(bytes, start, at + length);
        if ((type & 0xff) === nft.NFT_MSG_NEWGEN) this.#end(attributes);
        else if (family === nft.NFPROTO_INET) this.#object(type & 0xff, attributes);
      }
      at += align(length);
    }
  }

  /** Events were lost: anything may have been changed by anybody. */
  lost(): void {
    this.#objects.clear();
    this.#changed({ what: "unknown: more events than the kernel could keep", by: "unknown" });
  }

  #object(message: number, attributes: AttributeReader): void {
    if (this.#objects.size > NAMED_MAX) return;
    const object = OBJECTS.find(({ last }) => message <= last);
    let name = "";
    while (attributes.next()) {
      if (attributes.type === nft.NFTA_TABLE_NAME) {
        if (attributes.text() !== TABLE) return;
      } else if (attributes.type === object?.attribute) {
        name = ` ${attributes.text()}`;
        break;
      }
    }
    this.#objects.add(object === undefined ? "another object" : `${object.noun}${name}`);
  }

  #end(attributes: AttributeReader): void {
    if (this.#objects.size === 0) return;
    const objects = [...this.#objects];
    this.#objects.clear();
    let name = "unknown";
    let pid = 0;
    while (attributes.next()) {
      if (attributes.type === nft.NFTA_GEN_PROC_PID) pid = attributes.u32();
      else if (attributes.type === nft.NFTA_GEN_PROC_NAME) name = attributes.text();
    }
    const more = objects.length > NAMED_MAX ? ", ..." : "";
    this.#changed({
      what: `${objects.slice(0, NAMED_MAX).join(", ")}${more}`,
      by: `${name} (pid ${pid})`,
    });
  }
}
