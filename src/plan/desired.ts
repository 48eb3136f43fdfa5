/**
 * Desired: what should be in the kernel for a batch of owners, written as records (asm/layout/desired.ts)
 * where the core will diff it.
 */

import { SPAN_BYTES } from "../../asm/layout/choice.ts";
import { DESIRED_ELEMENT, DESIRED_HEADER, DESIRED_SLOTS } from "../../asm/layout/desired.ts";
import { SLOT_NUMBER_BYTES } from "../../asm/layout/key.ts";
import type { ActionCode } from "../model/actions.ts";
import type { EndpointSpan } from "../model/choice.ts";
import { OWNER_NODE, type OwnerId } from "../model/owner.ts";
import { keySize, TABLES, type TableId, valueSize } from "../model/tables.ts";
import type { Cidr } from "../net/address.ts";
import { lastAddress } from "../net/cidr.ts";
import type { Frontend } from "../state/frontends.ts";

/** Memory of the core for at least `bytes`. The same bytes again keep their content. */
export type Reserve = (bytes: number) => Uint8Array;

const EMPTY = new Uint8Array(0);
const FIRST_RESERVATION = 64 * 1024;
/** Key and value sizes by table id: asked for every element. */
const SIZES = TABLES.flatMap((_, index) => [index * 2, index * 2 + 1]).map((id) => ({
  key: keySize(id as TableId),
  value: valueSize(id as TableId),
}));

/**
 * Writes the records of one batch: those of one owner together, in the order in which `core.diff` is given the
 * owners. Nothing is allocated per element.
 */
export class DesiredWriter {
  readonly #reserve: Reserve;
  #region: Uint8Array = EMPTY;
  #capacity = 0;
  #at = 0;

  constructor(reserve: Reserve) {
    this.#reserve = reserve;
  }

  /** Starts another batch. The core may have used or freed the memory of the last one. */
  reset(): void {
    this.#region = EMPTY;
    this.#capacity = 0;
    this.#at = 0;
  }

  /** Bytes written since `reset`: the argument of `core.diff`. */
  get bytes(): number {
    return this.#at;
  }

  /** The records themselves, valid until the next call into the core. */
  region(): Uint8Array {
    this.#ensure(0);
    return this.#region.subarray(0, this.#at);
  }

  /** Frontend → action. */
  action(table: TableId, owner: OwnerId, frontend: Frontend, code: ActionCode): void {
    this.#start(DESIRED_ELEMENT, table, owner);
    this.#frontend(frontend);
    this.#u32(code);
  }

  /** Frontend and slot → endpoint, for every endpoint of the span; the core numbers the slots. */
  slots(table: TableId, owner: OwnerId, frontend: Frontend, span: EndpointSpan): void {
    this.#start(DESIRED_SLOTS, table, owner);
    this.#frontend(frontend);
    this.#u32(span.pointer);
    this.#u32(span.count);
  }

  /** Frontend in a set. */
  member(table: TableId, owner: OwnerId, frontend: Frontend): void {
    this.#start(DESIRED_ELEMENT, table, owner);
    this.#frontend(frontend);
  }

  /** Frontend and source range in a set. */
  allowed(table: TableId, owner: OwnerId, frontend: Frontend, source: Cidr): void {
    this.#start(DESIRED_ELEMENT, table, owner);
    this.#frontend(frontend);
    this.#range(source);
  }

  /** Address in a set. */
  address(table: TableId, owner: OwnerId, bytes: Uint8Array): void {
    this.#start(DESIRED_ELEMENT, table, owner);
    this.#copy(bytes);
  }

  /** Port in a set. */
  port(table: TableId, owner: OwnerId, port: number): void {
    this.#start(DESIRED_ELEMENT, table, owner);
    this.#port(port);
  }

  /** Address with itself in a set: a connection of an endpoint to itself. */
  pair(table: TableId, owner: OwnerId, bytes: Uint8Array): void {
    this.#start(DESIRED_ELEMENT, table, owner);
    this.#copy(bytes);
    this.#copy(bytes);
  }

  /** Range in a set. */
  range(table: TableId, cidr: Cidr): void {
    this.#start(DESIRED_ELEMENT, table, OWNER_NODE);
    this.#range(cidr);
  }

  #start(kind: number, table: TableId, owner: OwnerId): void {
    const size = SIZES[table] as (typeof SIZES)[number];
    // A DESIRED_SLOTS record has a span in place of the slot number and the value.
    const rest = kind === DESIRED_SLOTS ? SPAN_BYTES - SLOT_NUMBER_BYTES : size.value;
    this.#ensure(DESIRED_HEADER + size.key + rest);
    // The record DESIRED: kind, table and padding are one word.
    this.#u32(kind | (table << 8));
    this.#u32(owner);
  }

  #frontend(frontend: Frontend): void {
    if (frontend.address !== undefined) this.#copy(frontend.address.bytes);
    this.#u32(frontend.protocol);
    this.#port(frontend.port);
  }

  #port(port: number): void {
    this.#u32((port >> 8) | ((port & 0xff) << 8));
  }

  #range(cidr: Cidr): void {
    this.#copy(cidr.bytes);
    this.#copy(lastAddress(cidr));
  }

  #copy(bytes: Uint8Array): void {
    const region = this.#region;
    for (let i = 0; i < bytes.length; i++) region[this.#at++] = bytes[i] as number;
  }

  #u32(value: number): void {
    const region = this.#region;
    region[this.#at++] = value;
    region[this.#at++] = value >>> 8;
    region[this.#at++] = value >>> 16;
    region[this.#at++] = value >>> 24;
  }

  /** Room for `more` bytes; looks again when the core's memory has moved, which empties our view of it. */
  #ensure(more: number): void {
    const need = this.#at + more;
    if (need <= this.#region.length) return;
    if (this.#capacity > 0) this.#region = this.#reserve(this.#capacity);
    if (need <= this.#region.length) return;
    const written = this.#region.slice(0, this.#at);
    this.#capacity = Math.max(FIRST_RESERVATION, need, this.#capacity * 2);
    this.#region = this.#reserve(this.#capacity);
    this.#region.set(written);
  }
}
