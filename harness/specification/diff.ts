/**
 * Specifies the element tables and the diff of the core in plain TypeScript. It is the readable
 * specification and the reference for tests. Keys and values are hex text here.
 */
import type { OperationList } from "../../src/model/operation-list.ts";
import { type TableId, tableKind } from "../../src/model/tables.ts";

/** One desired element of an owner. */
export interface DesiredElement {
  readonly kind: "element";
  readonly table: TableId;
  readonly key: string;
  readonly value: string;
}

/** All slots of an owner's frontend: one for each endpoint. `key` is without the slot number. */
export interface DesiredSlots {
  readonly kind: "slots";
  readonly table: TableId;
  readonly key: string;
  readonly endpoints: readonly string[];
}

/**
 * The numbers of a frontend's endpoints, for session affinity: in `table` by endpoint, and in the
 * table of each list by number. `key` is the frontend's part of the key.
 */
export interface DesiredNumbers {
  readonly kind: "numbers";
  readonly table: TableId;
  readonly key: string;
  readonly lists: readonly {
    readonly table: TableId;
    readonly endpoints: readonly string[];
  }[];
}

export type Desired = DesiredElement | DesiredSlots | DesiredNumbers;

/** The desired elements of the owners of one batch, in their order. */
export type Batch = readonly { readonly owner: number; readonly records: readonly Desired[] }[];

/** A kernel with its refusals. Elements are stored by `table key`. */
export class KernelModel {
  readonly elements = new Map<string, { readonly value: string; readonly owner: number }>();

  /** An element does not move if only its owner changes. No operation shows that. */
  adoptOwners(elements: KernelModel["elements"]): void {
    for (const [name, { value }] of this.elements)
      this.elements.set(name, { value, owner: elements.get(name)?.owner ?? -1 });
  }

  /**
   * @throws Error if an element is added twice, or deleted although it differs or does not exist
   */
  apply(operations: OperationList): void {
    for (const { kind, table, owner, key, value } of operations) {
      const name = elementName(table, toHex(key));
      const present = this.elements.get(name);
      if (kind === "add") {
        if (present) throw new Error(`${name} is there already`);
        this.elements.set(name, { value: toHex(value), owner });
      } else {
        if (present?.value !== toHex(value))
          throw new Error(`${name} is not there as ${toHex(value)}`);
        this.elements.delete(name);
      }
    }
  }
}

export function elementName(table: TableId, key: string): string {
  return `${table} ${key}`;
}

/** The key of a slot: the frontend's key with the number in host order. */
export function slotKey(frontend: string, slot: number): string {
  return frontend + u32(slot);
}

function u32(number: number): string {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number, true);
  return toHex(bytes);
}

/**
 * The elements of a record of numbers. An endpoint keeps its number; a new one takes the lowest
 * that no other has, from 1. While a frontend moves between owners, elements of both exist. So
 * a number counts only if it leads to the endpoint.
 */
function numberedElements(
  elements: KernelModel["elements"],
  { table, key, lists }: DesiredNumbers,
): readonly DesiredElement[] {
  const endpoints = new Set(lists.flatMap((list) => list.endpoints));
  const numbers = new Map<string, string>();
  for (const endpoint of endpoints) {
    const present = elements.get(elementName(table, key + endpoint));
    if (present === undefined) continue;
    const [found] = lists.flatMap(
      (list) => elements.get(elementName(list.table, key + present.value)) ?? [],
    );
    if (found?.value === endpoint) numbers.set(endpoint, present.value);
  }
  const taken = new Set(numbers.values());
  let lowest = 1;
  for (const endpoint of endpoints) {
    if (numbers.has(endpoint)) continue;
    while (taken.has(u32(lowest))) lowest++;
    numbers.set(endpoint, u32(lowest++));
  }
  const wanted = new Map<string, DesiredElement>();
  const want = (one: Omit<DesiredElement, "kind">) =>
    wanted.set(elementName(one.table, one.key), { kind: "element", ...one });
  for (const [endpoint, value] of numbers) want({ table, key: key + endpoint, value });
  for (const list of lists) {
    for (const value of list.endpoints) {
      want({ table: list.table, key: key + (numbers.get(value) ?? ""), value });
    }
  }
  return [...wanted.values()];
}

/** The records, with elements in place of the numbers. */
function resolved(
  elements: KernelModel["elements"],
  records: readonly Desired[],
): readonly (DesiredElement | DesiredSlots)[] {
  return records.flatMap((record) =>
    record.kind === "numbers" ? numberedElements(elements, record) : record,
  );
}

/** Endpoints in the slots of a frontend, in their order. Throws if a slot is empty. */
export function slotsOf(kernel: KernelModel, table: TableId, frontend: string): string[] {
  const found: string[] = [];
  const prefix = elementName(table, frontend);
  let total = 0;
  for (const name of kernel.elements.keys())
    if (name.startsWith(prefix) && name.length === prefix.length + 8) total++;
  for (let slot = 0; slot < total; slot++) {
    const element = kernel.elements.get(elementName(table, slotKey(frontend, slot)));
    if (!element) throw new Error(`slot ${slot} of ${total} of ${frontend} is missing`);
    found.push(element.value);
  }
  return found;
}

/**
 * The least number of operations from these elements to the desired ones. An unchanged element
 * needs none, an addition or a removal one, a change two. In a table of actions the kernel's
 * element names its owner, so another owner is a change.
 */
export function fewestOperations(elements: KernelModel["elements"], batch: Batch): number {
  const owners = new Set(batch.map(({ owner }) => owner));
  const desired = new Set<string>();
  let operations = 0;
  for (const { owner, records } of batch)
    for (const record of resolved(elements, records))
      if (record.kind === "element") {
        const name = elementName(record.table, record.key);
        const present = elements.get(name);
        desired.add(name);
        const named = tableKind(record.table).value === "action";
        if (!present) operations++;
        else if (present.value !== record.value || (named && present.owner !== owner))
          operations += 2;
      } else {
        const names = record.endpoints.map((_, slot) => slotName(record, slot));
        for (const name of names) desired.add(name);
        operations += leastForSlots(
          names.map((name) => elements.get(name)?.value),
          record.endpoints,
        );
      }
  for (const [name, { owner }] of elements)
    if (owners.has(owner) && !desired.has(name)) operations++;
  return operations;
}

function leastForSlots(before: readonly (string | undefined)[], after: readonly string[]): number {
  const wanted = new Map<string, number>();
  for (const endpoint of after) wanted.set(endpoint, (wanted.get(endpoint) ?? 0) + 1);
  let operations = 0;
  for (const endpoint of before) {
    const left = endpoint === undefined ? 0 : (wanted.get(endpoint) ?? 0);
    if (endpoint === undefined) operations++;
    else if (left === 0) operations += 2;
    else wanted.set(endpoint, left - 1);
  }
  return operations;
}

/**
 * Throws unless the batch's owners have exactly the desired elements, and all others are unchanged.
 */
export function checkBatch(
  elements: KernelModel["elements"],
  batch: Batch,
  before: KernelModel["elements"],
): void {
  const owners = new Set(batch.map(({ owner }) => owner));
  const left = new Map(elements);
  const take = (name: string, owner: number): string => {
    const element = left.get(name);
    if (element?.owner !== owner) throw new Error(`${name} of ${owner} is missing`);
    left.delete(name);
    return element.value;
  };
  for (const { owner, records } of batch)
    for (const record of resolved(before, records))
      if (record.kind === "element") {
        const value = take(elementName(record.table, record.key), owner);
        if (value !== record.value) throw new Error(`${record.key} leads to ${value}`);
      } else {
        const found = record.endpoints.map((_, slot) => take(slotName(record, slot), owner));
        if (found.sort().join() !== [...record.endpoints].sort().join())
          throw new Error(`slots of ${record.key} lead to ${found}`);
      }
  for (const [name, { value, owner }] of left) {
    if (owners.has(owner)) throw new Error(`${name} of ${owner} is a leftover`);
    const former = before.get(name);
    if (former?.value !== value || former.owner !== owner) throw new Error(`${name} has changed`);
  }
  for (const [name, { owner }] of before)
    if (!owners.has(owner) && !elements.has(name)) throw new Error(`${name} of ${owner} is gone`);
}

function slotName({ table, key }: DesiredSlots, slot: number): string {
  return elementName(table, slotKey(key, slot));
}

export function toHex(bytes: Uint8Array): string {
  return bytes.toHex();
}

export function fromHex(text: string): Uint8Array {
  return Uint8Array.fromHex(text);
}
