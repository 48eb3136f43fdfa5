/**
 * Builds regions of operations by hand, in the core's format, and provides a core that only records
 * them.
 */
import {
  OP_ADD,
  OP_DELETE,
  OP_HEADER,
  OP_KIND,
  OP_OWNER,
  OP_TABLE,
} from "../../asm/layout/operation.ts";
import type { OwnerLookup } from "../../src/backend/backend.ts";
import type { Core } from "../../src/core/core.ts";
import { type Action, encodeAction } from "../../src/model/actions.ts";
import type { OperationList } from "../../src/model/operation-list.ts";
import type { OwnerId } from "../../src/model/owner.ts";
import {
  keySize,
  type TableId,
  type TableName,
  tableId,
  tableLabel,
  valueSize,
} from "../../src/model/tables.ts";
import { type Family, parseAddress, parseCidr } from "../../src/net/address.ts";
import { lastAddress } from "../../src/net/cidr.ts";
import { PROTOCOLS, type ProtocolName } from "../../src/net/protocol.ts";

/** One element. The parts of its key are in the order of the table's fields. */
export interface Element {
  readonly table: TableId;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * Text of an address or range, a protocol, or a number. The number is a port, or a slot or the
 * number of an endpoint if the table's key ends in one.
 */
type Part = string | number;

/** `element("endpoints", 4, ["10.96.0.1", "TCP", 80, 0], "10.244.0.1:8080")` */
export function element(
  name: TableName,
  family: Family,
  parts: readonly Part[],
  value?: string | number | Action,
): Element {
  const table = tableId(name, family);
  const slots = name.endsWith("endpoints") && !name.includes("no-endpoints");
  const key = parts.flatMap((part, index) => encodePart(part, slots && index === parts.length - 1));
  if (key.length !== keySize(table)) {
    throw new Error(`element of ${tableLabel(table)}: the key has ${key.length} bytes`);
  }
  return { table, key: Uint8Array.from(key), value: encodeValue(value) };
}

function encodePart(part: Part, slot: boolean): number[] {
  if (typeof part === "number") {
    const bytes = new DataView(new ArrayBuffer(4));
    if (slot) bytes.setUint32(0, part, true);
    else bytes.setUint16(0, part);
    return [...new Uint8Array(bytes.buffer)];
  }
  if (part in PROTOCOLS) return [PROTOCOLS[part as ProtocolName], 0, 0, 0];
  const cidr = parseCidr(part);
  if (cidr) return [...cidr.bytes, ...lastAddress(cidr)];
  const address = parseAddress(part);
  if (!address) throw new Error(`element: invalid address ${part}`);
  return [...address.bytes];
}

function encodeValue(value: string | number | Action | undefined): Uint8Array {
  if (value === undefined) return new Uint8Array(0);
  if (typeof value !== "string") {
    const bytes = new DataView(new ArrayBuffer(4));
    bytes.setUint32(0, typeof value === "number" ? value : encodeAction(value), true);
    return new Uint8Array(bytes.buffer);
  }
  const colon = value.lastIndexOf(":");
  const address = parseAddress(value.slice(0, colon).replace(/[[\]]/g, ""));
  if (!address) throw new Error(`element: invalid endpoint ${value}`);
  return Uint8Array.from([...address.bytes, ...encodePart(Number(value.slice(colon + 1)), false)]);
}

export interface TestOperation {
  readonly kind: "add" | "delete";
  readonly owner: OwnerId;
  readonly element: Element;
}

export const add = (owner: number, ...elements: Element[]): TestOperation[] =>
  elements.map((one) => ({ kind: "add", owner: owner as OwnerId, element: one }));
export const remove = (owner: number, ...elements: Element[]): TestOperation[] =>
  elements.map((one) => ({ kind: "delete", owner: owner as OwnerId, element: one }));

/** The region that the core's diff would return. */
export function operationList(operations: readonly TestOperation[]): OperationList {
  const size = operations.reduce(
    (sum, { element: { key, value } }) => sum + OP_HEADER + key.length + value.length,
    0,
  );
  const region = new Uint8Array(size);
  const view = new DataView(region.buffer);
  let at = 0;
  for (const { kind, owner, element: one } of operations) {
    region[at + OP_KIND] = kind === "add" ? OP_ADD : OP_DELETE;
    region[at + OP_TABLE] = one.table;
    view.setUint32(at + OP_OWNER, owner, true);
    region.set(one.key, at + OP_HEADER);
    region.set(one.value, at + OP_HEADER + one.key.length);
    at += OP_HEADER + one.key.length + one.value.length;
  }
  return {
    count: operations.length,
    bytes: size,
    region,
    ignored: 0,
    *[Symbol.iterator]() {
      for (const { kind, owner, element: one } of operations) yield { kind, owner, ...one };
    },
  };
}

/** All owners have this name. */
export const named = (name: string): Pick<OwnerLookup, "nameOf"> => ({ nameOf: () => name });

/** Owner of all committed elements in `rememberingCore`. */
const OWNER = 1 as OwnerId;

/** Records adopted elements, as sorted lines of text. */
export function rememberingCore(endpoints: readonly Element[] = []) {
  const adopted: string[] = [];
  const known = new Set(endpoints.map(({ table, key, value }) => line(table, key, value)));
  const core: Pick<Core, "adopt" | "ownerOf" | "elementCount" | "eachElement"> = {
    elementCount: (id) => endpoints.filter(({ table }) => table === id).length,
    eachElement(id, each) {
      for (const { table, key, value } of endpoints) if (table === id) each(key, value, OWNER);
    },
    adopt(table, keysAndValues, count) {
      const key = keySize(table);
      const stride = key + valueSize(table);
      for (let i = 0; i < count; i++) {
        const at = i * stride;
        adopted.push(
          line(
            table,
            keysAndValues.subarray(at, at + key),
            keysAndValues.subarray(at + key, at + stride),
          ),
        );
      }
    },
    ownerOf(table, key) {
      const start = `${tableLabel(table)} ${hex(key)} : `;
      return [...known].some((text) => text.startsWith(start)) ? OWNER : undefined;
    },
  };
  return { core: core as Core, adopted: () => [...adopted].sort() };
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** `endpoints4 0a600001…: 0af40001…` */
export function line(table: TableId, key: Uint8Array, value: Uint8Array): string {
  return `${tableLabel(table)} ${hex(key)} : ${hex(value)}`;
}

export const lines = (elements: readonly Element[]): string[] =>
  elements.map(({ table, key, value }) => line(table, key, value)).sort();
