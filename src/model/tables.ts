/**
 * Defines the tables of elements: the contents of each, and the layout of its keys and values.
 *
 * Keys are in the byte format that nf_tables concatenates: every field is padded to 4 bytes and in
 * network order. Two fields are in host order: the slot number, which `numgen` yields, and the
 * number of an endpoint, which the packet's priority carries. Backends other than nftables decode
 * the same bytes. Every table exists once for IPv4 and once for IPv6; its id is
 * `base * 2 + (family === 6)`.
 */

import { ENDPOINT4_STRIDE, ENDPOINT6_STRIDE } from "../../asm/layout/choice.ts";
import {
  ENDPOINT_NUMBER_BYTES,
  KEY_BYTES,
  KEY_PORT,
  KEY_PROTOCOL,
  SLOT_NUMBER_BYTES,
} from "../../asm/layout/key.ts";
import { ADDRESS_BYTES, type Family } from "../net/address.ts";

/** A field of a key, in order. `range` is the first and last address of an interval table. */
export type KeyFieldName = "address" | "protocol" | "port" | "slot" | "number" | "range";

/**
 * `none` makes the table a set. `action` is a u32 from actions.ts, and `endpoint` is an address and
 * a port. `number` is a u32 that identifies an endpoint of a frontend.
 */
export type ValueKind = "none" | "action" | "endpoint" | "number";

/** An action as a value: a u32. */
export const ACTION_BYTES = 4;

interface TableKind {
  readonly name: string;
  readonly key: readonly KeyFieldName[];
  readonly value: ValueKind;
}

/** In the order of their numbers. Append only: tests and the core use the numbers. */
export const TABLES = [
  /** Address and port of a Service → action, for every source. */
  { name: "frontends", key: ["address", "protocol", "port"], value: "action" },
  /** The same for all but local pods and this node; only with externalTrafficPolicy Local. */
  { name: "outside", key: ["address", "protocol", "port"], value: "action" },
  /** Frontend and slot → endpoint, of the whole cluster. */
  { name: "endpoints", key: ["address", "protocol", "port", "slot"], value: "endpoint" },
  /** Frontend and slot → endpoint on this node. */
  { name: "local-endpoints", key: ["address", "protocol", "port", "slot"], value: "endpoint" },
  /** Node port → action, for every source. */
  { name: "nodeports", key: ["protocol", "port"], value: "action" },
  /** The same for all but local pods and this node; only with externalTrafficPolicy Local. */
  { name: "nodeports-outside", key: ["protocol", "port"], value: "action" },
  /** Node port and slot → endpoint, of the whole cluster. */
  { name: "nodeport-endpoints", key: ["protocol", "port", "slot"], value: "endpoint" },
  /** Node port and slot → endpoint on this node. */
  { name: "nodeport-local-endpoints", key: ["protocol", "port", "slot"], value: "endpoint" },
  /** Frontends to reject or drop. */
  { name: "no-endpoints", key: ["address", "protocol", "port"], value: "action" },
  /** Node ports to reject or drop. */
  { name: "nodeports-no-endpoints", key: ["protocol", "port"], value: "action" },
  /** Frontends with session affinity → timeout. */
  { name: "learn", key: ["address", "protocol", "port"], value: "action" },
  /** Node ports with session affinity → timeout. */
  { name: "nodeports-learn", key: ["protocol", "port"], value: "action" },
  /** ClusterIPs of served Services. */
  { name: "cluster-ips", key: ["address"], value: "none" },
  /** Frontends with loadBalancerSourceRanges. */
  { name: "restricted", key: ["address", "protocol", "port"], value: "none" },
  /** Guarded frontend and a source range that may use it. */
  { name: "allowed-sources", key: ["address", "protocol", "port", "range"], value: "none" },
  /** Ranges that serve node ports, on the addresses in them that are this node's. */
  { name: "node-port-ranges", key: ["range"], value: "none" },
  /** Ranges of clusterIPs; traffic to an unallocated one is dropped. */
  { name: "service-cidrs", key: ["range"], value: "none" },
  /** HealthCheckNodePorts that the rules accept; only with iptables. */
  { name: "health-check-ports", key: ["port"], value: "none" },
  /**
   * Frontend with session affinity and an endpoint of `endpoints` → the endpoint's number, which it
   * keeps while it serves.
   */
  {
    name: "endpoint-numbers",
    key: ["address", "protocol", "port", "address", "port"],
    value: "number",
  },
  /** The same for node ports. */
  {
    name: "nodeport-endpoint-numbers",
    key: ["protocol", "port", "address", "port"],
    value: "number",
  },
  /** Frontend with session affinity and number → that endpoint, of the whole cluster. */
  {
    name: "numbered-endpoints",
    key: ["address", "protocol", "port", "number"],
    value: "endpoint",
  },
  /** Frontend with session affinity and number → that endpoint, on this node. */
  {
    name: "numbered-local-endpoints",
    key: ["address", "protocol", "port", "number"],
    value: "endpoint",
  },
  /** The same for node ports. */
  { name: "nodeport-numbered-endpoints", key: ["protocol", "port", "number"], value: "endpoint" },
  {
    name: "nodeport-numbered-local-endpoints",
    key: ["protocol", "port", "number"],
    value: "endpoint",
  },
] as const satisfies readonly TableKind[];

/** Name of a table, without the family. */
export type TableName = (typeof TABLES)[number]["name"];

/** Id of a table: index in TABLES * 2, plus 1 for IPv6. */
export type TableId = number & { readonly brand: "TableId" };

/** All table ids, in order. */
export const TABLE_IDS: readonly TableId[] = TABLES.flatMap((_, index) => [
  (index * 2) as TableId,
  (index * 2 + 1) as TableId,
]);

const indexByName = new Map<string, number>(TABLES.map((table, index) => [table.name, index]));

export function tableId(name: TableName, family: Family): TableId {
  return ((indexByName.get(name) as number) * 2 + (family === 6 ? 1 : 0)) as TableId;
}

export function tableFamily(id: TableId): Family {
  return id & 1 ? 6 : 4;
}

export function tableKind(id: TableId): TableKind & { readonly name: TableName } {
  return TABLES[id >> 1] as (typeof TABLES)[number];
}

/** Returns the name used in the kernel and in all output: `frontends4`, `cluster-ips6`. */
export function tableLabel(id: TableId): string {
  return `${tableKind(id).name}${tableFamily(id)}`;
}

/** Reports whether the table's keys end in an address range. */
export function hasRanges(id: TableId): boolean {
  return tableKind(id).key.some((field) => field === "range");
}

/** Returns the size of a key field in bytes. */
export function fieldSize(field: KeyFieldName, family: Family): number {
  switch (field) {
    case "address":
      return ADDRESS_BYTES[family];
    case "range":
      return 2 * ADDRESS_BYTES[family];
    case "protocol":
      return KEY_PORT - KEY_PROTOCOL;
    case "port":
      return KEY_BYTES - KEY_PORT;
    case "slot":
      return SLOT_NUMBER_BYTES;
    case "number":
      return ENDPOINT_NUMBER_BYTES;
  }
}

const KEY_SIZES = TABLE_IDS.map((id) => {
  const family = tableFamily(id);
  return tableKind(id).key.reduce((size, field) => size + fieldSize(field, family), 0);
});

const VALUE_SIZES = TABLE_IDS.map((id) => sizeOfValue(tableKind(id).value, tableFamily(id)));

function sizeOfValue(value: ValueKind, family: Family): number {
  switch (value) {
    case "none":
      return 0;
    case "action":
      return ACTION_BYTES;
    case "number":
      return ENDPOINT_NUMBER_BYTES;
    case "endpoint":
      return family === 4 ? ENDPOINT4_STRIDE : ENDPOINT6_STRIDE;
  }
}

/** Returns the size of the table's keys in bytes. @throws RangeError if there is no such table */
export function keySize(id: TableId): number {
  return KEY_SIZES[id] ?? noTable(id);
}

/** Returns the size of the table's values in bytes. @throws RangeError if there is no such table */
export function valueSize(id: TableId): number {
  return VALUE_SIZES[id] ?? noTable(id);
}

function noTable(id: number): never {
  throw new RangeError(`table id: invalid value ${id}: must be below ${TABLE_IDS.length}`);
}
