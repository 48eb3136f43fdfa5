/** A fake of the core for observers: committed elements with their kernel counters. */

import type { CounterReader } from "../../src/backend/parts.ts";
import { type Action, encodeAction } from "../../src/model/actions.ts";
import type { OwnerId } from "../../src/model/owner.ts";
import type { Service, ServiceId } from "../../src/model/service.ts";
import { keySize, type TableId, type TableName, tableId } from "../../src/model/tables.ts";
import { parseAddress } from "../../src/net/address.ts";
import { PROTOCOLS } from "../../src/net/protocol.ts";

interface Element {
  readonly key: Uint8Array;
  value: Uint8Array;
  owner: OwnerId;
  /** The count in the kernel, and the count at the last read. */
  packets: number;
  read: number;
}

export class Committed {
  readonly services = new Map<ServiceId, Service>();
  readonly names = new Map<ServiceId, string>();
  /** Whether a read of the counters ends without a change in between. */
  quiet = true;
  readonly #tables = new Map<TableId, Map<string, Element>>();

  addService(service: Partial<Service> & { readonly id: ServiceId }): void {
    const whole: Service = {
      namespace: "default",
      name: "web",
      created: 0,
      type: "ClusterIP",
      ports: [],
      clusterIPs: [],
      externalIPs: [],
      vips: [],
      sourceRanges: [],
      externalLocal: false,
      internalLocal: false,
      affinitySeconds: 0,
      healthCheckNodePort: 0,
      ...service,
    };
    this.services.set(whole.id, whole);
    this.names.set(whole.id, `${whole.namespace}/${whole.name}`);
  }

  /** `key`: words such as `10.96.0.1 TCP 80 0`. `value`: an action, words of an endpoint, or "". */
  set(table: TableName, owner: number, key: string, value: Action | string = ""): void {
    const words = key.split(" ");
    const family = `${key} ${typeof value === "string" ? value : ""}`.includes("::") ? 6 : 4;
    const id = tableId(table, family);
    const bytes = encode(words);
    if (bytes.length !== keySize(id)) throw new Error(`${table}: invalid key ${key}: wrong size`);
    const elements = this.#tables.get(id) ?? new Map<string, Element>();
    this.#tables.set(id, elements);
    const encoded =
      typeof value === "string" ? encode(value === "" ? [] : value.split(" ")) : code(value);
    elements.set(bytes.join(), {
      key: bytes,
      value: encoded,
      owner: owner as OwnerId,
      packets: 0,
      read: 0,
    });
  }

  delete(table: TableName, key: string, family: 4 | 6 = 4): void {
    this.#tables.get(tableId(table, family))?.delete(encode(key.split(" ")).join());
  }

  /** Counts new connections at an element. */
  hit(table: TableName, key: string, packets: number, family: 4 | 6 = 4): void {
    const element = this.#tables.get(tableId(table, family))?.get(encode(key.split(" ")).join());
    if (!element) throw new Error(`${table} ${key}: no such element`);
    element.packets += packets;
  }

  readonly reader: Pick<CounterReader, "read"> = {
    read: async (each) => {
      for (const [table, elements] of this.#tables) {
        const stride = keySize(table) + 8;
        const bytes = new Uint8Array(elements.size * stride);
        const view = new DataView(bytes.buffer);
        let at = 0;
        for (const { key, packets } of elements.values()) {
          bytes.set(key, at);
          view.setBigUint64(at + stride - 8, BigInt(packets), true);
          at += stride;
        }
        const values = new Uint8Array(
          Buffer.concat([...elements.values()].map(({ value }) => value)),
        );
        each({ table, count: elements.size, keysAndPackets: bytes, values });
      }
      return this.quiet;
    },
  };

  count(table: TableId, keysAndPackets: Uint8Array, count: number): Float64Array {
    const size = keySize(table);
    const view = new DataView(keysAndPackets.buffer);
    return Float64Array.from({ length: count }, (_, index) => {
      const at = index * (size + 8);
      const element = this.#tables.get(table)?.get(keysAndPackets.subarray(at, at + size).join());
      if (!element) return 0;
      const packets = Number(view.getBigUint64(at + size, true));
      const added = packets - element.read;
      element.read = packets;
      return added;
    });
  }

  ownerOf(table: TableId, key: Uint8Array): OwnerId | undefined {
    return this.#tables.get(table)?.get(key.join())?.owner;
  }

  eachElement(
    table: TableId,
    each: (key: Uint8Array, value: Uint8Array, owner: OwnerId) => void,
  ): void {
    for (const { key, value, owner } of this.#tables.get(table)?.values() ?? [])
      each(key, value, owner);
  }

  elementCount(table: TableId): number {
    return this.#tables.get(table)?.size ?? 0;
  }

  /** Returns a table's id and an encoded key, as a backend would report an element. */
  locate(name: TableName, key: string): { readonly table: TableId; readonly key: Uint8Array } {
    const table = tableId(name, key.includes("::") ? 6 : 4);
    return { table, key: encode(key.split(" ")) };
  }

  serviceKey(id: ServiceId): string {
    return this.names.get(id) ?? "";
  }

  findService(key: string): ServiceId | undefined {
    for (const [id, name] of this.names) if (name === key) return id;
    return undefined;
  }

  readService(id: ServiceId): Service | undefined {
    return this.services.get(id);
  }
}

/**
 * Encodes words: an address has dots or colons, a protocol is a name, a slot is `slot-N`, and any
 * other word is a port.
 */
function encode(words: readonly string[]): Uint8Array {
  return Uint8Array.from(
    words.flatMap((word) => {
      const address = parseAddress(word);
      if (address) return [...address.bytes];
      if (word in PROTOCOLS) return [PROTOCOLS[word as keyof typeof PROTOCOLS], 0, 0, 0];
      if (word.startsWith("slot-")) return [Number(word.slice(5)), 0, 0, 0];
      return [Number(word) >> 8, Number(word) & 255, 0, 0];
    }),
  );
}

function code(action: Action): Uint8Array {
  return new Uint8Array(Uint32Array.of(encodeAction(action)).buffer);
}
