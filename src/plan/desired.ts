/**
 * Writes the desired kernel elements of a batch of owners as records (asm/layout/desired.ts). The
 * records are in the core's memory, where the core compares them with the committed elements.
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
import { KEY_BYTES, KEY_PORT, KEY_PROTOCOL } from "../../asm/layout/key.ts";
import type { ActionCode } from "../model/actions.ts";
import type { EndpointSpan } from "../model/choice.ts";
import { OWNER_NODE, type OwnerId } from "../model/owner.ts";
import { ACTION_BYTES, keySize, type TableId, valueSize } from "../model/tables.ts";
import type { Cidr } from "../net/address.ts";
import { lastAddress } from "../net/cidr.ts";
import type { Frontend } from "../state/frontends.ts";

/** Returns core memory of at least `bytes` bytes. A call with the same size keeps the content. */
export type ReserveMemory = (bytes: number) => Uint8Array;

/** The tables of the endpoints of a frontend with session affinity, by number. */
export interface NumberTables {
  /** Frontend and endpoint → number. */
  readonly numbers: TableId;
  /** Frontend and number → endpoint, for every source and for outside sources. */
  readonly everyone: TableId;
  readonly outside: TableId;
}

const EMPTY = new Uint8Array(0);
const FIRST_RESERVATION = 64 * 1024;

/**
 * Writes the records of one batch. The records of an owner are contiguous, and owners come in the
 * order passed to `core.diff`. Nothing is allocated per element.
 */
export class DesiredWriter {
  readonly #reserve: ReserveMemory;
  #region: Uint8Array = EMPTY;
  #view: DataView = new DataView(EMPTY.buffer);
  #capacity = 0;
  #at = 0;

  constructor(reserve: ReserveMemory) {
    this.#reserve = reserve;
  }

  /** Starts another batch. The core may have used or freed the memory of the previous one. */
  reset(): void {
    this.#region = EMPTY;
    this.#capacity = 0;
    this.#at = 0;
  }

  /** Bytes written since `reset`, the argument of `core.diff`. */
  get bytes(): number {
    return this.#at;
  }

  /** Returns the records, valid until the next call into the core. */
  region(): Uint8Array {
    this.#ensure(0);
    return this.#region.subarray(0, this.#at);
  }

  /** Writes a map element: frontend → action. */
  action(table: TableId, owner: OwnerId, frontend: Frontend, code: ActionCode): void {
    this.#start(DESIRED_ELEMENT, table, owner);
    this.#frontend(frontend);
    this.#view.setUint32(this.#at, code, true);
    this.#at += ACTION_BYTES;
  }

  /**
   * Writes frontend and slot → endpoint for each endpoint of the span. The core numbers the slots.
   */
  slots(table: TableId, owner: OwnerId, frontend: Frontend, span: EndpointSpan): void {
    this.#start(DESIRED_SLOTS, table, owner);
    this.#frontend(frontend);
    this.#span(span);
  }

  /**
   * Writes frontend and endpoint → number, and frontend and number → endpoint for the endpoints of
   * both spans. The core chooses the numbers.
   */
  numbers(
    tables: NumberTables,
    owner: OwnerId,
    frontend: Frontend,
    { everyone, outside }: { readonly everyone: EndpointSpan; readonly outside: EndpointSpan },
  ): void {
    const kind = this.#at;
    this.#start(DESIRED_NUMBERS, tables.numbers, owner);
    this.#view.setUint8(kind + DESIRED_EVERYONE, tables.everyone);
    this.#view.setUint8(kind + DESIRED_OUTSIDE, tables.outside);
    this.#frontend(frontend);
    this.#span(everyone);
    this.#span(outside);
  }

  /** Writes a set element: a frontend. */
  member(table: TableId, owner: OwnerId, frontend: Frontend): void {
    this.#start(DESIRED_ELEMENT, table, owner);
    this.#frontend(frontend);
  }

  /** Writes a set element: a frontend and an allowed source range. */
  allowed(table: TableId, owner: OwnerId, frontend: Frontend, source: Cidr): void {
    this.#start(DESIRED_ELEMENT, table, owner);
    this.#frontend(frontend);
    this.#range(source);
  }

  /** Writes a set element: an address. */
  address(table: TableId, owner: OwnerId, bytes: Uint8Array): void {
    this.#start(DESIRED_ELEMENT, table, owner);
    this.#copy(bytes);
  }

  /** Writes a set element: a port. */
  port(table: TableId, owner: OwnerId, port: number): void {
    this.#start(DESIRED_ELEMENT, table, owner);
    this.#setPort(this.#at, port);
    this.#at += keySize(table);
  }

  /** Writes a set element: a range. */
  range(table: TableId, cidr: Cidr): void {
    this.#start(DESIRED_ELEMENT, table, OWNER_NODE);
    this.#range(cidr);
  }

  #start(kind: number, table: TableId, owner: OwnerId): void {
    // Spans take the place of the slot number, of the endpoint's number, and of the value.
    this.#ensure(DESIRED_HEADER + keySize(table) + valueSize(table) + SPAN_BYTES * 2);
    const at = this.#at;
    this.#view.setUint8(at + DESIRED_KIND, kind);
    this.#view.setUint8(at + DESIRED_TABLE, table);
    this.#view.setUint32(at + DESIRED_OWNER, owner, true);
    this.#at = at + DESIRED_HEADER;
  }

  #span({ pointer, count }: EndpointSpan): void {
    const at = this.#at;
    this.#view.setUint32(at + SPAN_POINTER, pointer, true);
    this.#view.setUint32(at + SPAN_COUNT, count, true);
    this.#at = at + SPAN_BYTES;
  }

  #frontend(frontend: Frontend): void {
    if (frontend.address !== undefined) this.#copy(frontend.address.bytes);
    const at = this.#at;
    this.#view.setUint32(at + KEY_PROTOCOL, frontend.protocol, true);
    this.#setPort(at + KEY_PORT, frontend.port);
    this.#at = at + KEY_BYTES;
  }

  /** Writes a port and its padding to 4 bytes. */
  #setPort(at: number, port: number): void {
    this.#view.setUint32(at, (port >> 8) | ((port & 0xff) << 8), true);
  }

  #range(cidr: Cidr): void {
    this.#copy(cidr.bytes);
    this.#copy(lastAddress(cidr));
  }

  #copy(bytes: Uint8Array): void {
    const region = this.#region;
    for (let i = 0; i < bytes.length; i++) region[this.#at++] = bytes[i] as number;
  }

  /**
   * Makes room for `more` bytes. Growth of the core's memory detaches our views, so they are taken
   * again.
   */
  #ensure(more: number): void {
    const need = this.#at + more;
    if (need <= this.#region.length) return;
    if (this.#capacity > 0) this.#look();
    if (need <= this.#region.length) return;
    const written = this.#region.slice(0, this.#at);
    this.#capacity = Math.max(FIRST_RESERVATION, need, this.#capacity * 2);
    this.#look();
    this.#region.set(written);
  }

  /** Takes new views of the reservation. */
  #look(): void {
    this.#region = this.#reserve(this.#capacity);
    this.#view = new DataView(this.#region.buffer, this.#region.byteOffset, this.#region.length);
  }
}
