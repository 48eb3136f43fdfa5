/**
 * What the element tables and the diff of the core promise, in plain TypeScript: the reference for tests,
 * and the specification to read. Keys and values are hex text here.
 */
import type { OperationList } from "../../src/core/core.ts";
import type { TableId } from "../../src/plan/tables.ts";

/** One desired element of an owner. */
export interface DesiredElement {
  readonly kind: "element";
  readonly table: TableId;
  readonly key: string;
  readonly value: string;
}

/** All slots of a frontend of an owner: one for each endpoint. `key` is without the slot number. */
export interface DesiredSlots {
  readonly kind: "slots";
  readonly table: TableId;
  readonly key: string;
  readonly endpoints: readonly string[];
}

export type Desired = DesiredElement | DesiredSlots;

/** What is desired for the owners of one batch, in their order. */
export type Batch = readonly { readonly owner: number; readonly records: readonly Desired[] }[];

/** A kernel: refuses what a kernel refuses. Elements by `table key`. */
export class KernelModel {
  readonly elements = new Map<string, { readonly value: string; readonly owner: number }>();

  /** @throws Error if an element is added twice, or deleted without being there as it is. */
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

/** The key of a slot: the frontend's with the number in host order. */
export function slotKey(frontend: string, slot: number): string {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, slot, true);
  return frontend + toHex(bytes);
}

/** Endpoints now in the slots of a frontend, in their order. Throws on a hole. */
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
 * The least number of operations from these slots to those endpoints: an endpoint that is in a slot that
 * stays costs nothing, another endpoint in a slot a deletion and an addition, a new or an old slot one.
 */
export function leastSlotOperations(before: readonly string[], after: readonly string[]): number {
  const wanted = new Map<string, number>();
  for (const endpoint of after) wanted.set(endpoint, (wanted.get(endpoint) ?? 0) + 1);
  const staying = before.slice(0, after.length);
  let kept = 0;
  for (const endpoint of staying) {
    const left = wanted.get(endpoint) ?? 0;
    if (left === 0) continue;
    wanted.set(endpoint, left - 1);
    kept++;
  }
  return 2 * (staying.length - kept) + Math.abs(after.length - before.length);
}

export function toHex(bytes: Uint8Array): string {
  return bytes.toHex();
}

export function fromHex(text: string): Uint8Array {
  return Uint8Array.fromHex(text);
}
