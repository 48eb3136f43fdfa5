/** Watches for changes to our table by other programs, through nf_tables events. */

import type { ForeignChange } from "../../backend/drift.ts";
import type { Clock } from "../../base/clock.ts";
import { type TableId, tableLabel } from "../../model/tables.ts";
import {
  NETLINK_NETFILTER,
  NFGENMSG_LEN,
  NFNL_SUBSYS_NFTABLES,
  NFNLGRP_NFTABLES,
  NLMSG_HDRLEN,
  NLMSG_LENGTH,
  NLMSG_TYPE,
} from "../../netlink/constants.ts";
import { exceptFrom } from "../../netlink/event-filter.ts";
import { type Subscription, subscribe } from "../../netlink/event-socket.ts";
import { AttributeReader, alignTo4 } from "../../netlink/message.ts";
import * as nft from "../wire/nf-tables.ts";
import {
  DISPATCHES,
  dispatchMap,
  EQUAL_BYTES,
  isFilledByPackets,
  TABLE,
} from "../wire/object-names.ts";
import { SET_IDS } from "../wire/sets.ts";
import { TouchedObjects } from "./touched.ts";

/** At most this many objects of one transaction are named. */
const NAMED_MAX = 8;

/**
 * The attribute that names the object of each message type; `last` is the last type of its group.
 * The table's name is attribute 1 in all of them.
 */
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

const TABLE_BY_NAME = new Map(SET_IDS.map((id) => [tableLabel(id), id]));
const FAMILIES = [4, 6] as const;
const ACTIONS = new Set(FAMILIES.flatMap((f) => DISPATCHES.map((kind) => dispatchMap(kind, f))));
const OUR_TABLE = new TextEncoder().encode(`${TABLE}\0`);

const NO_MAP = { message: -1, bytes: new Uint8Array(0), id: undefined } as const;

/** Receives each foreign transaction: its description, and what it touched. */
export type TouchListener = (change: ForeignChange, touched: TouchedObjects) => void;

/**
 * Calls `changed` after each foreign transaction that touched our table or may have. A socket
 * filter drops the events of the socket with port id `own`, so that our own transactions cause no
 * wakeups.
 * @throws SluiceError NETLINK_SOCKET
 */
export function watchTable(own: number, clock: Clock, changed: TouchListener): Subscription {
  const reader = new TransactionReader(changed);
  return subscribe(
    NETLINK_NETFILTER,
    [NFNLGRP_NFTABLES],
    clock,
    (bytes) => (bytes === undefined ? reader.eventsLost() : reader.read(bytes)),
    { filter: exceptFrom(own) },
  );
}

/**
 * Reads events. The kernel sends all changes of a transaction, then NFT_MSG_NEWGEN, which names the
 * process. Transactions do not interleave. Flushing a map sends an event for every element, so
 * reading one must not allocate.
 */
export class TransactionReader {
  readonly #changed: TouchListener;
  #touched = new TouchedObjects();
  /** Objects named in the log. */
  readonly #names = new Set<string>();
  #concernsUs = false;
  #deleted = false;
  /**
   * Type and map of the last element message in this transaction. `bytes` is the name of the map.
   */
  #map: { readonly message: number; readonly bytes: Uint8Array; readonly id: TableId | undefined } =
    NO_MAP;

  constructor(changed: TouchListener) {
    this.#changed = changed;
  }

  /** Reads one datagram. */
  read(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const attributes = new AttributeReader(bytes, 0, 0);
    const inner = [attributes.nested(), attributes.nested(), attributes.nested()] as const;
    for (let at = 0; at + NLMSG_HDRLEN + NFGENMSG_LEN <= bytes.byteLength; ) {
      const length = view.getUint32(at + NLMSG_LENGTH, true);
      if (length < NLMSG_HDRLEN + NFGENMSG_LEN || at + length > bytes.byteLength) return;
      const type = view.getUint16(at + NLMSG_TYPE, true);
      const family = bytes[at + NLMSG_HDRLEN];
      if (type >> 8 === NFNL_SUBSYS_NFTABLES) {
        attributes.rewind(at + NLMSG_HDRLEN + NFGENMSG_LEN, at + length);
        if ((type & 0xff) === nft.NFT_MSG_NEWGEN) this.#end(attributes);
        else if (family === nft.NFPROTO_INET) this.#message(type & 0xff, attributes, inner);
      }
      at += alignTo4(length);
    }
  }

  /** Events were lost: any process may have changed anything. */
  eventsLost(): void {
    this.#touched = new TouchedObjects();
    this.#touched.everything = true;
    this.#report("unknown: the kernel dropped events", "unknown");
  }

  #message(
    message: number,
    attributes: AttributeReader,
    inner: readonly [AttributeReader, AttributeReader, AttributeReader],
  ): void {
    // All messages start with the table's name.
    if (!attributes.next() || attributes.type !== nft.NFTA_TABLE_NAME) return;
    if (!sameBytes(attributes, OUR_TABLE)) return;
    this.#concernsUs = true;
    const object = OBJECTS.find(({ last }) => message <= last);
    if (object === undefined) {
      this.#name("another object");
      return;
    }
    if (message > nft.NFT_MSG_DELSET) {
      this.#elements(message, attributes, inner);
      return;
    }
    let name = "";
    while (object.attribute > 0 && attributes.next()) {
      if (attributes.type !== object.attribute) continue;
      name = attributes.text();
      break;
    }
    this.#name(name === "" ? object.noun : `${object.noun} ${name}`);
    const touched = this.#touched;
    const ours = TABLE_BY_NAME.has(name) || ACTIONS.has(name) || isFilledByPackets(name);
    if (message === nft.NFT_MSG_DELTABLE) {
      touched.tableDeleted = true;
      this.#deleted = true;
    } else if (message === nft.NFT_MSG_DELSET) touched.tableDeleted ||= ours;
    else if (message !== nft.NFT_MSG_NEWSET || ours) touched.chains = true;
  }

  #elements(
    message: number,
    attributes: AttributeReader,
    [list, element, key]: readonly [AttributeReader, AttributeReader, AttributeReader],
  ): void {
    while (attributes.next()) {
      if (attributes.type === nft.NFTA_SET_ELEM_LIST_SET) {
        if (message === this.#map.message && sameBytes(attributes, this.#map.bytes)) continue;
        this.#beginMap(message, attributes);
      }
      const { id } = this.#map;
      if (id === undefined) return;
      if (attributes.type !== nft.NFTA_SET_ELEM_LIST_ELEMENTS) continue;
      list.rewind(attributes.start, attributes.end);
      while (list.next()) {
        element.rewind(list.start, list.end);
        let keyed = false;
        while (!keyed && element.next()) {
          if (element.type !== nft.NFTA_SET_ELEM_KEY) continue;
          keyed = key.rewind(element.start, element.end).next();
        }
        if (keyed) this.#touched.addKey(id, key.bytes, key.start, key.end - key.start);
        else this.#touched.wholeTables.add(id);
      }
    }
  }

  #beginMap(message: number, attributes: AttributeReader): void {
    const name = attributes.text();
    const id = TABLE_BY_NAME.get(name);
    this.#map = { message, bytes: attributes.payload().slice(), id };
    this.#name(`elements of ${name}`, id === undefined);
    if (ACTIONS.has(name) || name === EQUAL_BYTES) this.#touched.chains = true;
  }

  /**
   * Adds a name for the log. `object`: also adds it to the touched objects; elements are identified
   * by their keys instead.
   */
  #name(name: string, object = true): void {
    if (this.#names.size <= NAMED_MAX) this.#names.add(name);
    if (object && this.#touched.objects.size <= NAMED_MAX) this.#touched.objects.add(name);
  }

  #end(attributes: AttributeReader): void {
    if (!this.#concernsUs) return;
    let name = "unknown";
    let pid = 0;
    while (attributes.next()) {
      if (attributes.type === nft.NFTA_GEN_PROC_PID) pid = attributes.u32();
      else if (attributes.type === nft.NFTA_GEN_PROC_NAME) name = attributes.text();
    }
    const names = [...this.#names];
    const more = names.length > NAMED_MAX ? ", ..." : "";
    const what = `${names.slice(0, NAMED_MAX).join(", ")}${more}`;
    this.#report(this.#deleted ? "table deleted" : what, `${name} (pid ${pid})`);
  }

  #report(what: string, by: string): void {
    const touched = this.#touched;
    this.#touched = new TouchedObjects();
    this.#names.clear();
    this.#map = NO_MAP;
    this.#concernsUs = false;
    this.#deleted = false;
    this.#changed({ what, by, objects: touched.objectNames() }, touched);
  }
}

function sameBytes({ bytes, start, end }: AttributeReader, wanted: Uint8Array): boolean {
  if (end - start !== wanted.length) return false;
  for (let i = 0; i < wanted.length; i++) if (bytes[start + i] !== wanted[i]) return false;
  return true;
}
