/**
 * Builds desired records for the core from the model, and lists the core's committed elements as
 * the model does.
 */
import { SPAN_BYTES, SPAN_COUNT, SPAN_POINTER } from "../../asm/layout/choice.ts";
import {
  DESIRED_ELEMENT,
  DESIRED_EVERYONE,
  DESIRED_HEADER,
  DESIRED_KIND,
  DESIRED_NUMBERS,
  DESIRED_OUTSIDE,
  DESIRED_OWNER,
  DESIRED_SLOTS,
  DESIRED_TABLE,
} from "../../asm/layout/desired.ts";
import { SLOT_NUMBER_BYTES } from "../../asm/layout/key.ts";
import type { TestCore } from "../../harness/core/test-core.ts";
import {
  type Batch,
  type Desired,
  elementName,
  fromHex,
  type KernelModel,
  toHex,
} from "../../harness/specification/diff.ts";
import type { OperationList } from "../../src/model/operation-list.ts";
import type { OwnerId } from "../../src/model/owner.ts";
import { keySize, TABLES, type TableId, tableId, valueSize } from "../../src/model/tables.ts";

export const frontends = tableId("frontends", 4);
export const slots = tableId("endpoints", 4);
export const clusterIPs = tableId("cluster-ips", 4);
/** A table of numbers, and the tables of numbered endpoints for everyone and for outside. */
export const NUMBERS = [
  tableId("endpoint-numbers", 4),
  tableId("numbered-endpoints", 4),
  tableId("numbered-local-endpoints", 4),
] as const;

/** Key number `index` of a table, without the slot or the number of an endpoint. */
export function keyOf(table: TableId, index: number): string {
  const bytes = new Uint8Array(
    isSlots(table) ? keySize(table) - SLOT_NUMBER_BYTES : keySize(table),
  );
  new DataView(bytes.buffer, bytes.byteLength - 4).setUint32(0, index);
  return toHex(bytes);
}

export function valueFor(table: TableId, index: number): string {
  const bytes = new Uint8Array(valueSize(table));
  if (bytes.byteLength > 0) new DataView(bytes.buffer).setUint32(0, index);
  return toHex(bytes);
}

export function isSlots(table: TableId): boolean {
  return valueSize(table) >= 8;
}

export function element(table: TableId, key: number, value = 0): Desired {
  return { kind: "element", table, key: keyOf(table, key), value: valueFor(table, value) };
}

export function frontend(key: number, endpoints: readonly number[], table = slots): Desired {
  return {
    kind: "slots",
    table,
    key: keyOf(table, key),
    endpoints: endpoints.map((endpoint) => valueFor(table, endpoint)),
  };
}

/** The numbers of the endpoints of a frontend. */
export function numbers(
  key: number,
  everyone: readonly number[],
  outside: readonly number[],
  [table, ...lists] = NUMBERS,
): Desired {
  const listOf = (list: TableId, endpoints: readonly number[]) => ({
    table: list,
    endpoints: endpoints.map((endpoint) => valueFor(list, endpoint)),
  });
  return {
    kind: "numbers",
    table,
    key: keyOf(lists[0], key),
    lists: [listOf(lists[0], everyone), listOf(lists[1], outside)],
  };
}

/** A Service with `count` endpoints as the plan writes it: clusterIP, slots, frontend. */
export function serviceRecords(key: number, endpoints: readonly number[]): Desired[] {
  return [
    element(clusterIPs, key),
    frontend(key, endpoints),
    element(frontends, key, endpoints.length),
  ];
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** Writes the batch and runs the diff. */
export function diffBatch(core: TestCore, batch: Batch): OperationList {
  const { bytes, release } = writeBatch(core, batch);
  try {
    return core.diff(
      bytes,
      batch.map(({ owner }) => owner as OwnerId),
    );
  } finally {
    release();
  }
}

/** Writes the desired records of a batch. Endpoints of slots go into separate memory. */
export function writeBatch(core: TestCore, batch: Batch): { bytes: number; release: () => void } {
  const { exports } = core.wasm;
  const blocks: { readonly at: number; readonly size: number }[] = [];
  const records: Uint8Array[] = [];
  for (const { owner, records: desired } of batch)
    for (const record of desired) {
      const key = fromHex(record.key);
      if (record.kind === "element") {
        records.push(
          concat(header(DESIRED_ELEMENT, record.table, owner), key, fromHex(record.value)),
        );
        continue;
      }
      const store = (endpoints: readonly string[]) => {
        const content = concat(...endpoints.map(fromHex));
        const size = Math.max(8, content.length);
        const at = exports.allocate(size) >>> 0;
        blocks.push({ at, size });
        core.wasm.u8().set(content, at);
        return spanOf(at, endpoints.length);
      };
      if (record.kind === "slots") {
        const span = store(record.endpoints);
        records.push(concat(header(DESIRED_SLOTS, record.table, owner), key, span));
        continue;
      }
      const start = header(DESIRED_NUMBERS, record.table, owner);
      start[DESIRED_EVERYONE] = record.lists[0]?.table ?? 0;
      start[DESIRED_OUTSIDE] = record.lists[1]?.table ?? 0;
      records.push(concat(start, key, ...record.lists.map((list) => store(list.endpoints))));
    }
  const bytes = concat(...records);
  core.reserveDesired(bytes.byteLength).set(bytes);
  return {
    bytes: bytes.byteLength,
    release: () => {
      for (const { at, size } of blocks) exports.release(at, size);
    },
  };
}

/** Runs the diff, applies it to the kernel, commits. Returns the number of operations. */
export function sync(core: TestCore, kernel: KernelModel, batch: Batch): number {
  const operations = diffBatch(core, batch);
  kernel.apply(operations);
  core.commit();
  return operations.count;
}

/** All committed elements, with the names of the kernel model. */
export function committed(core: TestCore): KernelModel["elements"] {
  const found = new Map<string, { value: string; owner: number }>();
  for (let id = 0; id < TABLES.length * 2; id++) {
    const table = id as TableId;
    core.eachElement(table, (key, value, owner) => {
      found.set(elementName(table, toHex(key)), { value: toHex(value), owner });
    });
  }
  return found;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

function header(kind: number, table: TableId, owner: number): Uint8Array {
  const bytes = new Uint8Array(DESIRED_HEADER);
  bytes[DESIRED_KIND] = kind;
  bytes[DESIRED_TABLE] = table;
  new DataView(bytes.buffer).setUint32(DESIRED_OWNER, owner, true);
  return bytes;
}

function spanOf(pointer: number, count: number): Uint8Array {
  const bytes = new Uint8Array(SPAN_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(SPAN_POINTER, pointer, true);
  view.setUint32(SPAN_COUNT, count, true);
  return bytes;
}
