/** Prints desired and committed elements, one line each. */

import {
  ENDPOINT4_STRIDE,
  ENDPOINT6_STRIDE,
  SPAN_BYTES,
  SPAN_COUNT,
  SPAN_POINTER,
} from "../../asm/layout/choice.ts";
import {
  DESIRED_EVERYONE,
  DESIRED_HEADER,
  DESIRED_KIND,
  DESIRED_NUMBERS,
  DESIRED_OUTSIDE,
  DESIRED_OWNER,
  DESIRED_SLOTS,
  DESIRED_TABLE,
} from "../../asm/layout/desired.ts";
import { ENDPOINT_NUMBER_BYTES, SLOT_NUMBER_BYTES } from "../../asm/layout/key.ts";
import { readU16BE, readU32LE } from "../../src/base/bytes.ts";
import { printAction, readAction } from "../../src/model/actions.ts";
import type { OwnerId } from "../../src/model/owner.ts";
import { printEndpoint, printRange } from "../../src/model/print.ts";
import {
  keyFields,
  readNumber,
  readProtocol,
  readRange,
  readSlot,
} from "../../src/model/table-keys.ts";
import {
  keySize,
  type TableId,
  tableFamily,
  tableKind,
  tableLabel,
  valueSize,
} from "../../src/model/tables.ts";
import { printAddress } from "../../src/net/address.ts";
import { printProtocol } from "../../src/net/protocol.ts";

/**
 * Prints the records of a region in canonical order: `frontends4 10.96.0.1 tcp 80 -> pick endpoints
 * 2 (default/web)`, `endpoints4 10.96.0.1 tcp 80 slot 0 -> 10.1.0.5:8080`. Slots are numbered in
 * the order of their span. Spans point into `memory`; `nameOf` returns the name of an owner.
 */
export function printDesired(
  region: Uint8Array,
  bytes: number,
  memory: Uint8Array,
  nameOf: (owner: OwnerId) => string,
): string[] {
  const lines: string[] = [];
  const view = new DataView(region.buffer, region.byteOffset, bytes);
  for (let at = 0; at < bytes; ) {
    const kind = view.getUint8(at + DESIRED_KIND);
    const table = view.getUint8(at + DESIRED_TABLE) as TableId;
    const owner = nameOf(view.getUint32(at + DESIRED_OWNER, true) as OwnerId);
    const key = at + DESIRED_HEADER;
    const value = key + keySize(table);
    const endpointsOf = (span: number) => {
      const stride = tableFamily(table) === 4 ? ENDPOINT4_STRIDE : ENDPOINT6_STRIDE;
      const pointer = view.getUint32(span + SPAN_POINTER, true);
      const count = view.getUint32(span + SPAN_COUNT, true);
      return Array.from({ length: count }, (_, index) =>
        memory.subarray(pointer + index * stride, pointer + (index + 1) * stride),
      );
    };
    if (kind === DESIRED_SLOTS) {
      const span = value - SLOT_NUMBER_BYTES;
      const frontend = region.subarray(key, span);
      for (const [slot, endpoint] of endpointsOf(span).entries()) {
        lines.push(printElement(table, concat(frontend, u32(slot)), endpoint, owner));
      }
      at = span + SPAN_BYTES;
    } else if (kind === DESIRED_NUMBERS) {
      const everyone = view.getUint8(at + DESIRED_EVERYONE) as TableId;
      const outside = view.getUint8(at + DESIRED_OUTSIDE) as TableId;
      const spans = key + keySize(everyone) - ENDPOINT_NUMBER_BYTES;
      // The core chooses the numbers.
      const frontend = printKey(everyone, region.subarray(key, spans));
      const list = (one: TableId, span: number) => {
        for (const endpoint of endpointsOf(span)) {
          lines.push(`${tableLabel(one)} ${frontend} -> ${printEndpoint(endpoint)}`);
        }
      };
      list(everyone, spans);
      list(outside, spans + SPAN_BYTES);
      at = spans + 2 * SPAN_BYTES;
    } else {
      at = value + valueSize(table);
      lines.push(
        printElement(table, region.subarray(key, value), region.subarray(value, at), owner),
      );
    }
  }
  return lines.sort();
}

/**
 * Prints one element as a line. A slot's owner is omitted, because it is the owner of its frontend.
 */
export function printElement(
  table: TableId,
  key: Uint8Array,
  value: Uint8Array,
  owner: string,
): string {
  const left = `${tableLabel(table)} ${printKey(table, key)}`;
  switch (tableKind(table).value) {
    case "none":
      return `${left} (${owner})`;
    case "action":
      return `${left} -> ${printAction(readAction(value))} (${owner})`;
    case "endpoint":
      return `${left} -> ${printEndpoint(value)}`;
    case "number":
      return `${left} -> number ${readU32LE(value, 0)}`;
  }
}

/**
 * Prints a key: `10.96.0.1 tcp 80 slot 0`, `1.2.3.4 tcp 80 from 10.0.0.0/8`. The key may lack its
 * last fields.
 */
export function printKey(table: TableId, key: Uint8Array): string {
  const words: string[] = [];
  for (const { field, at, size } of keyFields(table)) {
    if (at + size > key.length) break;
    switch (field) {
      case "address":
        words.push(printAddress(key.subarray(at, at + size)));
        break;
      case "range":
        if (at > 0) words.push("from");
        words.push(printRange(readRange(table, key)));
        break;
      case "protocol":
        words.push(printProtocol(readProtocol(table, key)));
        break;
      case "port":
        words.push(String(readU16BE(key, at)));
        break;
      case "slot":
        words.push(`slot ${readSlot(table, key)}`);
        break;
      case "number":
        words.push(`number ${readNumber(table, key)}`);
        break;
    }
  }
  return words.join(" ");
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
