/**
 * The tables of `Desired`: what each holds, and how its keys and values are laid out.
 *
 * Keys are the bytes that nf_tables concatenates: every field padded to 4 bytes, network order, except
 * the slot number, which `numgen` yields in host order. A backend that is not nftables decodes the same
 * bytes. Every table exists once for IPv4 and once for IPv6; a table's id is `base * 2 + (family === 6)`.
 */

import type { Family } from "../net/address.ts";

/** Field of a key, in order. `range` is two addresses, first and last, of an interval table. */
export type Field = "address" | "protocol" | "port" | "slot" | "range";

/** `none` is a set; `action` a u32 of actions.ts; `endpoint` an address and a port. */
export type Value = "none" | "action" | "endpoint";

interface TableKind {
  readonly name: string;
  readonly key: readonly Field[];
  readonly value: Value;
  /** What an operator is told about it. */
  readonly about: string;
}

/** In the order of their numbers; append only, since the numbers are in tests and in the core. */
export const TABLES = [
  {
    name: "frontends",
    key: ["address", "protocol", "port"],
    value: "action",
    about: "address:port of a Service → how to choose, for every source",
  },
  {
    name: "outside",
    key: ["address", "protocol", "port"],
    value: "action",
    about: "the same for sources outside the cluster, externalTrafficPolicy Local only",
  },
  {
    name: "endpoints",
    key: ["address", "protocol", "port", "slot"],
    value: "endpoint",
    about: "frontend and slot → endpoint, of the whole cluster",
  },
  {
    name: "local-endpoints",
    key: ["address", "protocol", "port", "slot"],
    value: "endpoint",
    about: "frontend and slot → endpoint on this node",
  },
  {
    name: "nodeports",
    key: ["protocol", "port"],
    value: "action",
    about: "node port → how to choose, for every source",
  },
  {
    name: "nodeports-outside",
    key: ["protocol", "port"],
    value: "action",
    about: "the same for sources outside the cluster, externalTrafficPolicy Local only",
  },
  {
    name: "nodeport-endpoints",
    key: ["protocol", "port", "slot"],
    value: "endpoint",
    about: "node port and slot → endpoint, of the whole cluster",
  },
  {
    name: "nodeport-local-endpoints",
    key: ["protocol", "port", "slot"],
    value: "endpoint",
    about: "node port and slot → endpoint on this node",
  },
  {
    name: "no-endpoints",
    key: ["address", "protocol", "port"],
    value: "action",
    about: "frontends to reject or drop",
  },
  {
    name: "nodeports-no-endpoints",
    key: ["protocol", "port"],
    value: "action",
    about: "node ports to reject or drop",
  },
  {
    name: "learn",
    key: ["address", "protocol", "port"],
    value: "action",
    about: "frontends with ClientIP affinity → how long to remember",
  },
  {
    name: "nodeports-learn",
    key: ["protocol", "port"],
    value: "action",
    about: "node ports with ClientIP affinity → how long to remember",
  },
  { name: "cluster-ips", key: ["address"], value: "none", about: "every clusterIP that is served" },
  {
    name: "guarded",
    key: ["address", "protocol", "port"],
    value: "none",
    about: "frontends with loadBalancerSourceRanges",
  },
  {
    name: "allowed",
    key: ["address", "protocol", "port", "range"],
    value: "none",
    about: "guarded frontend and source range that may use it",
  },
  {
    name: "node-addresses",
    key: ["address"],
    value: "none",
    about: "addresses of this node that serve node ports",
  },
  {
    name: "hairpin",
    key: ["address", "address"],
    value: "none",
    about: "endpoints of this node, twice: a connection to itself",
  },
  {
    name: "service-cidrs",
    key: ["range"],
    value: "none",
    about: "where clusterIPs come from; an unallocated one is dropped",
  },
  {
    name: "health-check-ports",
    key: ["port"],
    value: "none",
    about: "healthCheckNodePorts that the node's firewall is to let in; iptables only",
  },
] as const satisfies readonly TableKind[];

/** Name of a table, without its family. */
export type TableName = (typeof TABLES)[number]["name"];

/** Id of a table: index in TABLES * 2, plus 1 for IPv6. */
export type TableId = number & { readonly brand: "TableId" };

/** Every table id, in order. */
export const TABLE_IDS: readonly TableId[] = TABLES.flatMap((_, index) => [
  (index * 2) as TableId,
  (index * 2 + 1) as TableId,
]);

const indexByName = new Map<string, number>(TABLES.map((table, index) => [table.name, index]));

/** The id of a table by its name and family. */
export function tableId(name: TableName, family: Family): TableId {
  return ((indexByName.get(name) as number) * 2 + (family === 6 ? 1 : 0)) as TableId;
}

/** The family a table id belongs to. */
export function tableFamily(id: TableId): Family {
  return id & 1 ? 6 : 4;
}

/** What a table id stands for. */
export function tableKind(id: TableId): TableKind & { readonly name: TableName } {
  return TABLES[id >> 1] as (typeof TABLES)[number];
}

/** Its name in the kernel and in every print-out: `frontends4`, `node-addresses6`. */
export function tableLabel(id: TableId): string {
  return `${tableKind(id).name}${tableFamily(id)}`;
}

/** Do its keys end in a range of addresses? */
export function hasRanges(id: TableId): boolean {
  return tableKind(id).key.some((field) => field === "range");
}

/** Bytes of a field of a key. */
export function fieldSize(field: Field, family: Family): number {
  const address = family === 4 ? 4 : 16;
  return field === "address" ? address : field === "range" ? 2 * address : 4;
}

const KEY_SIZES = TABLE_IDS.map((id) => {
  const family = tableFamily(id);
  return tableKind(id).key.reduce((size, field) => size + fieldSize(field, family), 0);
});

const VALUE_SIZES = TABLE_IDS.map((id) => {
  const { value } = tableKind(id);
  return value === "none" ? 0 : value === "action" ? 4 : tableFamily(id) === 4 ? 8 : 20;
});

/** Bytes of a key of the table. @throws RangeError if there is no such table */
export function keySize(id: TableId): number {
  return KEY_SIZES[id] ?? noTable(id);
}

/** Bytes of a value of the table. @throws RangeError if there is no such table */
export function valueSize(id: TableId): number {
  return VALUE_SIZES[id] ?? noTable(id);
}

function noTable(id: number): never {
  throw new RangeError(
    `Cannot find a table: its id must be below ${TABLE_IDS.length}: current value is ${id}`,
  );
}
