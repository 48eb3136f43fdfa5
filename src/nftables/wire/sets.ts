/**
 * Defines the maps and sets of the table: one for each table of the desired state. Each family also
 * has maps of actions, and a map of clients for each frontend with session affinity.
 *
 * A frontend holds the number of its action, not a verdict. After every change to an element with a
 * verdict, the kernel walks all elements of all maps that a base chain reaches
 * (nft_chain_validate). That takes 1 ms per change at 10,000 frontends and 5 ms at 50,000; with
 * numbers, a change takes 10 microseconds at any size.
 *
 * The values are declared as classids because the packet's priority carries them to the next lookup
 * (match.ts). nft prints `0:5` for `pick endpoints 5`.
 */

import {
  hasRanges,
  TABLE_IDS,
  type TableId,
  tableFamily,
  tableKind,
  tableLabel,
} from "../../model/tables.ts";
import type { Family } from "../../net/address.ts";
import { NLM_F_CREATE } from "../../netlink/constants.ts";
import { type Attribute, writeAttributes, writeExpression } from "./expressions.ts";
import type { Batch } from "./message-batch.ts";
import * as nft from "./nf-tables.ts";
import {
  affinityMap,
  DISPATCHES,
  type Dispatch,
  dispatchMap,
  EQUAL_BYTES,
  notRememberedSetName,
} from "./object-names.ts";
import {
  BYTEORDER_BIG,
  BYTEORDER_HOST,
  type Typeof,
  typeofUserdata,
  typeUserdata,
} from "./userdata.ts";

/** One set or map in the kernel. Lengths are in bytes. */
export interface SetSpec {
  readonly name: string;
  readonly flags: number;
  readonly keyType: number;
  readonly keyLength: number;
  /** Present only in maps. */
  readonly dataType?: number;
  readonly dataLength?: number;
  /** Lengths of the parts of a concatenated key of intervals. */
  readonly fields?: readonly number[];
  /** Maximum number of elements, only of a constant set. */
  readonly size?: number;
  readonly userdata: Uint8Array;
  /** Elements count packets. */
  readonly counter: boolean;
}

/**
 * Tables with a set or map in the kernel. nftables mode has no use for health-check ports, because
 * its table has no rules that accept traffic.
 */
export const SET_IDS: readonly TableId[] = TABLE_IDS.filter(
  (id) => tableKind(id).name !== "health-check-ports",
);

const PROTOCOL = { type: nft.TYPE_INET_PROTOCOL, length: 1 };
const PORT = { type: nft.TYPE_INET_SERVICE, length: 2 };
const SLOT = { type: nft.TYPE_INTEGER, length: 4 };
/** The packet's priority carries the number of an endpoint, so it is declared as a classid. */
const NUMBER = { type: nft.TYPE_CLASSID, length: 4 };
const BYTE = { type: nft.TYPE_INTEGER, length: 1 };

interface KeyPart {
  readonly type: number;
  /** Bytes, excluding the padding in a concatenation. */
  readonly length: number;
}

function address(family: Family): KeyPart {
  return family === 4
    ? { type: nft.TYPE_IPADDR, length: 4 }
    : { type: nft.TYPE_IP6ADDR, length: 16 };
}

const padded = (length: number): number => (length + 3) & ~3;
const concatenatedType = (parts: readonly KeyPart[]): number =>
  parts.reduce((type, part) => (type << nft.TYPE_BITS) | part.type, 0);
const concatenatedLength = (parts: readonly KeyPart[]): number =>
  parts.reduce((length, part) => length + padded(part.length), 0);

/** Tables with meaningful counters: connections by frontend and by endpoint, and refusals. */
export function isCounted(id: TableId): boolean {
  const { name, value } = tableKind(id);
  if (value === "action") return name !== "learn" && name !== "nodeports-learn";
  return value === "endpoint";
}

/** The set for a table of the desired state. */
export function tableSet(id: TableId, counters: boolean): SetSpec {
  const kind = tableKind(id);
  const family = tableFamily(id);
  const parts = kind.key.map((field): KeyPart => {
    if (field === "protocol") return PROTOCOL;
    if (field === "port") return PORT;
    if (field === "slot") return SLOT;
    if (field === "number") return NUMBER;
    return address(family);
  });
  const interval = hasRanges(id);
  const concatenated = parts.length > 1;
  const key = {
    name: tableLabel(id),
    keyType: concatenatedType(parts),
    keyLength: concatenated ? concatenatedLength(parts) : (parts[0] as KeyPart).length,
    counter: counters && isCounted(id),
  };
  switch (kind.value) {
    case "none":
      return {
        ...key,
        flags: interval ? nft.NFT_SET_INTERVAL | (concatenated ? nft.NFT_SET_CONCAT : 0) : 0,
        userdata: typeUserdata(concatenated ? 0 : BYTEORDER_BIG),
        ...(interval && concatenated ? { fields: parts.map((part) => part.length) } : {}),
      };
    case "action":
    case "number":
      return {
        ...key,
        flags: nft.NFT_SET_MAP,
        dataType: nft.TYPE_CLASSID,
        dataLength: 4,
        userdata: typeUserdata(0, BYTEORDER_HOST),
      };
    case "endpoint":
      return {
        ...key,
        ...endpointData(family),
        flags: nft.NFT_SET_MAP,
        userdata: typeofUserdata(
          [
            ...(kind.key[0] === "address" ? [daddr(family)] : []),
            "meta l4proto",
            "th dport",
            kind.key.includes("slot") ? "numgen random mod 65536" : "meta priority",
          ],
          [daddr(family), "th dport"],
        ),
      };
  }
}

const daddr = (family: Family): Typeof => (family === 4 ? "ip daddr" : "ip6 daddr");
const saddr = (family: Family): Typeof => (family === 4 ? "ip saddr" : "ip6 saddr");

function endpointData(family: Family): { readonly dataType: number; readonly dataLength: number } {
  const parts = [address(family), PORT];
  return { dataType: concatenatedType(parts), dataLength: concatenatedLength(parts) };
}

/**
 * A map of clients. Without a size, the kernel allocates memory as clients come, and takes 65,535
 * of them. With a size, it would allocate 8 to 16 bytes for each of them at once.
 */
export function affinitySet(family: Family, map: number): SetSpec {
  const client = address(family);
  return {
    name: affinityMap(family, map),
    flags: nft.NFT_SET_MAP | nft.NFT_SET_TIMEOUT | nft.NFT_SET_EVAL,
    keyType: client.type,
    keyLength: client.length,
    dataType: NUMBER.type,
    dataLength: NUMBER.length,
    userdata: typeofUserdata([saddr(family)], ["meta priority"]),
    counter: false,
  };
}

/**
 * A set of frontends that could not remember a new client. Each stays for a few minutes after the
 * last such connection, and counts these connections.
 */
function notRememberedSet(nodePort: boolean, family: Family, counters: boolean): SetSpec {
  const parts = [...(nodePort ? [] : [address(family)]), PROTOCOL, PORT];
  return {
    name: notRememberedSetName(nodePort, family),
    flags: nft.NFT_SET_TIMEOUT | nft.NFT_SET_EVAL,
    keyType: concatenatedType(parts),
    keyLength: concatenatedLength(parts),
    userdata: typeUserdata(0),
    counter: counters,
  };
}

function dispatchSet(kind: Dispatch, family: Family): SetSpec {
  return {
    name: dispatchMap(kind, family),
    flags: nft.NFT_SET_MAP,
    keyType: nft.TYPE_CLASSID,
    keyLength: 4,
    dataType: nft.NFT_DATA_VERDICT,
    dataLength: 16,
    userdata: typeUserdata(BYTEORDER_HOST, 0),
    counter: false,
  };
}

/** Number of elements of the set of equal bytes. */
export const BYTE_VALUES = 256;

/**
 * `0x0 . 0x0` to `0xff . 0xff`. While rules use it, the kernel refuses changes of a constant set.
 */
const EQUAL_BYTES_SET: SetSpec = {
  name: EQUAL_BYTES,
  flags: nft.NFT_SET_CONSTANT,
  keyType: concatenatedType([BYTE, BYTE]),
  keyLength: concatenatedLength([BYTE, BYTE]),
  size: BYTE_VALUES,
  userdata: typeofUserdata(["@nh,0,8", "@nh,0,8"]),
  counter: false,
};

/** NFT_MSG_NEWSETELEM of all pairs. Must precede the rules that use the set. */
export function writeEqualBytes(batch: Batch): void {
  const elements = Array.from({ length: BYTE_VALUES }, (_, byte): Attribute => {
    const pair = Uint8Array.of(byte, 0, 0, 0, byte, 0, 0, 0);
    return [nft.NFTA_LIST_ELEM, [[nft.NFTA_SET_ELEM_KEY, [[nft.NFTA_DATA_VALUE, pair]]]]];
  });
  const message = batch.open(nft.NFT_MSG_NEWSETELEM, NLM_F_CREATE);
  writeAttributes(batch.writer, [
    [nft.NFTA_SET_ELEM_LIST_TABLE, batch.table],
    [nft.NFTA_SET_ELEM_LIST_SET, EQUAL_BYTES],
    [nft.NFTA_SET_ELEM_LIST_ELEMENTS, elements],
  ]);
  batch.close(message);
}

/** All sets that always exist, in the order of their creation. */
export function allSets(counters: boolean): readonly SetSpec[] {
  const families: readonly Family[] = [4, 6];
  return [
    EQUAL_BYTES_SET,
    ...SET_IDS.map((id) => tableSet(id, counters)),
    ...families.flatMap((family) =>
      [false, true].map((nodePort) => notRememberedSet(nodePort, family, counters)),
    ),
    ...families.flatMap((family) => DISPATCHES.map((kind) => dispatchSet(kind, family))),
  ];
}

/** NFT_MSG_NEWSET. `id` must be unique among the sets of the transaction. */
export function writeSet(batch: Batch, set: SetSpec, id: number, table = batch.table): void {
  const message = batch.open(nft.NFT_MSG_NEWSET, NLM_F_CREATE);
  const description: Attribute[] = [];
  if (set.size !== undefined) description.push([nft.NFTA_SET_DESC_SIZE, set.size]);
  if (set.fields !== undefined) {
    const fields = set.fields.map(
      (length): Attribute => [nft.NFTA_LIST_ELEM, [[nft.NFTA_SET_FIELD_LEN, length]]],
    );
    description.push([nft.NFTA_SET_DESC_CONCAT, fields]);
  }
  const attributes: Attribute[] = [
    [nft.NFTA_SET_TABLE, table],
    [nft.NFTA_SET_NAME, set.name],
    [nft.NFTA_SET_FLAGS, set.flags],
    [nft.NFTA_SET_KEY_TYPE, set.keyType],
    [nft.NFTA_SET_KEY_LEN, set.keyLength],
  ];
  if (set.dataType !== undefined && set.dataLength !== undefined) {
    attributes.push([nft.NFTA_SET_DATA_TYPE, set.dataType]);
    attributes.push([nft.NFTA_SET_DATA_LEN, set.dataLength]);
  }
  attributes.push([nft.NFTA_SET_DESC, description]);
  attributes.push([nft.NFTA_SET_ID, id]);
  attributes.push([nft.NFTA_SET_USERDATA, set.userdata]);
  writeAttributes(batch.writer, attributes);
  if (set.counter) {
    writeExpression(batch.writer, nft.NFTA_SET_EXPR, {
      name: "counter",
      attributes: [
        [nft.NFTA_COUNTER_BYTES, 0n],
        [nft.NFTA_COUNTER_PACKETS, 0n],
      ],
    });
  }
  batch.close(message);
}

/** NFT_MSG_DELSETELEM of all elements of a map. */
export function writeFlushMap(batch: Batch, map: string): void {
  const message = batch.open(nft.NFT_MSG_DELSETELEM, 0);
  writeAttributes(batch.writer, [
    [nft.NFTA_SET_ELEM_LIST_TABLE, batch.table],
    [nft.NFTA_SET_ELEM_LIST_SET, map],
  ]);
  batch.close(message);
}
