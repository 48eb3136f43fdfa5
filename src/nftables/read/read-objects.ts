/** Reads our table's objects except its elements. Changes never wait for it. */
import { NLM_F_DUMP } from "../../netlink/constants.ts";
import { type AttributeReader, MessageWriter } from "../../netlink/message.ts";
import type { Netlink } from "../../netlink/socket.ts";
import type { Hook } from "../wire/chains.ts";
import type { Attribute } from "../wire/expressions.ts";
import * as nft from "../wire/nf-tables.ts";
import { TABLE } from "../wire/object-names.ts";
import { attributesOf, request, writeRequest } from "../wire/request.ts";
import { readComment } from "../wire/userdata.ts";

/**
 * A dump is repeated up to this many times if any process changes any table meanwhile. The last
 * attempt counts in any case, so that Sluice can start on a node with constant changes. Such a
 * change rarely concerns our table.
 */
const DUMP_ATTEMPTS = 10;

const writer = new MessageWriter(4096);

/**
 * Performs one dump. Calls `restart` before each attempt, and `each` with the attributes of every
 * message.
 * @throws SluiceError NETLINK_REFUSED
 */
export function dumpObjects(
  socket: Netlink,
  type: number,
  attributes: readonly Attribute[],
  restart: () => void,
  each: (reader: AttributeReader) => void,
): void {
  for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
    writeRequest(writer, { family: nft.NFPROTO_INET, type, attributes }, NLM_F_DUMP);
    restart();
    const changed = socket.dump(writer.bytes, writer.length, (message) =>
      each(attributesOf(message)),
    );
    if (!changed) return;
  }
}

/**
 * Sends one request that is not a dump. `each` receives the attributes of every message of the
 * answer. Returns false if the object does not exist.
 * @throws SluiceError NETLINK_REFUSED, PERMISSION_DENIED
 */
export function requestObject(
  socket: Netlink,
  type: number,
  attributes: readonly Attribute[],
  each: (reader: AttributeReader) => void,
): boolean {
  const question = { family: nft.NFPROTO_INET, type, attributes };
  return request(socket, writer, question, `read table inet ${TABLE}`, each);
}

/** One of our tables in the kernel. */
export interface ReadTable {
  /** Unique within a network namespace and never reused. */
  readonly handle: bigint;
  /** Empty if the table has no comment. */
  readonly comment: string;
  /** The base chains are unhooked, so that the table sees no packets. */
  readonly dormant: boolean;
}

/** Returns undefined if the table does not exist. */
export function readTable(socket: Netlink, name = TABLE): ReadTable | undefined {
  let handle = 0n;
  let comment = "";
  let dormant = false;
  const exists = requestObject(
    socket,
    nft.NFT_MSG_GETTABLE,
    [[nft.NFTA_TABLE_NAME, name]],
    (reader) => {
      while (reader.next()) {
        if (reader.type === nft.NFTA_TABLE_USERDATA) comment = readComment(reader.payload()) ?? "";
        else if (reader.type === nft.NFTA_TABLE_FLAGS) {
          dormant = (reader.u32() & nft.NFT_TABLE_F_DORMANT) !== 0;
        } else if (reader.type === nft.NFTA_TABLE_HANDLE) handle = reader.u64();
      }
    },
  );
  return exists ? { handle, comment, dormant } : undefined;
}

/** A chain in the kernel. */
export interface ReadChain {
  readonly name: string;
  readonly hook: Hook | undefined;
  readonly accepts: boolean;
}

export function readChains(socket: Netlink): ReadChain[] {
  let chains: ReadChain[] = [];
  const restart = () => {
    chains = [];
  };
  dumpObjects(socket, nft.NFT_MSG_GETCHAIN, [], restart, (reader) => {
    let table = "";
    let name = "";
    let type = "";
    let policy = nft.NF_ACCEPT;
    let number: number | undefined;
    let priority = 0;
    while (reader.next()) {
      if (reader.type === nft.NFTA_CHAIN_TABLE) table = reader.text();
      else if (reader.type === nft.NFTA_CHAIN_NAME) name = reader.text();
      else if (reader.type === nft.NFTA_CHAIN_TYPE) type = reader.text();
      else if (reader.type === nft.NFTA_CHAIN_POLICY) policy = reader.u32();
      else if (reader.type === nft.NFTA_CHAIN_HOOK) {
        const hook = reader.nested();
        while (hook.next()) {
          if (hook.type === nft.NFTA_HOOK_HOOKNUM) number = hook.u32();
          else if (hook.type === nft.NFTA_HOOK_PRIORITY) priority = hook.u32() | 0;
        }
      }
    }
    if (table !== TABLE) return;
    const hook =
      number === undefined ? undefined : { type: type as Hook["type"], number, priority };
    chains.push({ name, hook, accepts: policy === nft.NF_ACCEPT });
  });
  return chains;
}

/** A rule in the kernel. Its expressions are the bytes of NFTA_RULE_EXPRESSIONS. */
export interface ReadRule {
  readonly chain: string;
  readonly expressions: Uint8Array;
  readonly comment: string | undefined;
}

export function readRules(socket: Netlink): ReadRule[] {
  let rules: ReadRule[] = [];
  const restart = () => {
    rules = [];
  };
  const filter: Attribute[] = [[nft.NFTA_RULE_TABLE, TABLE]];
  dumpObjects(socket, nft.NFT_MSG_GETRULE, filter, restart, (reader) => {
    let chain = "";
    let comment: string | undefined;
    let expressions = new Uint8Array(0);
    while (reader.next()) {
      if (reader.type === nft.NFTA_RULE_CHAIN) chain = reader.text();
      else if (reader.type === nft.NFTA_RULE_EXPRESSIONS) expressions = reader.payload().slice();
      else if (reader.type === nft.NFTA_RULE_USERDATA) comment = readComment(reader.payload());
    }
    rules.push({ chain, expressions, comment });
  });
  return rules;
}

/** A set or map in the kernel. */
export interface ReadSet {
  /** Unique within the table and never reused. */
  readonly handle: bigint;
  /** Number of elements, if the kernel reports it (6.17 and later). */
  readonly count: number | undefined;
}

/** The sets and maps of our table, by name. */
export function readSets(socket: Netlink): ReadonlyMap<string, ReadSet> {
  const sets = new Map<string, ReadSet>();
  const filter: Attribute[] = [[nft.NFTA_SET_TABLE, TABLE]];
  dumpObjects(
    socket,
    nft.NFT_MSG_GETSET,
    filter,
    () => sets.clear(),
    (reader) => {
      let name = "";
      let handle = 0n;
      let count: number | undefined;
      while (reader.next()) {
        if (reader.type === nft.NFTA_SET_NAME) name = reader.text();
        else if (reader.type === nft.NFTA_SET_HANDLE) handle = reader.u64();
        else if (reader.type === nft.NFTA_SET_COUNT) count = reader.u32();
      }
      sets.set(name, { handle, count });
    },
  );
  return sets;
}
