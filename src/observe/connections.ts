/**
 * New connections by service port and by endpoint, summed up from the counters of map elements. Elements come
 * and go with every change (an endpoint gets another slot, a changed value is a new element); the sums here
 * only grow, as Prometheus wants counters to, until the Service or the endpoint is gone.
 *
 * nat chains see a connection's first packet only, so packets are connections. One that session affinity
 * leads back to its endpoint does not touch a slot: it counts for the service port, not for the endpoint.
 */
import { OWNER_ADOPTED, OWNER_NODE } from "../../asm/layout.ts";
import type { Backend } from "../apply/backend.ts";
import type { Core } from "../core/core.ts";
import { type ActionCode, decodeAction } from "../plan/actions.ts";
import { printEndpoint } from "../plan/print.ts";
import { keySize, TABLE_IDS, type TableId, tableFamily, tableKind } from "../plan/tables.ts";
import type { Service, ServiceId } from "../types.ts";
import type { Instrument, Sample } from "./instruments.ts";

type CountingCore = Pick<
  Core,
  "count" | "eachElement" | "serviceKey" | "findService" | "readService"
>;

interface Sums {
  readonly namespace: string;
  readonly name: string;
  readonly ports: Map<string, number>;
  readonly endpoints: Map<string, number>;
}

const FRONTEND_TABLES = new Set(["frontends", "outside", "nodeports", "nodeports-outside"]);

export class ConnectionCounters {
  readonly #core: CountingCore;
  readonly #endpointLimit: number;
  /** By `namespace/name`: an id may be given to another Service later. */
  readonly #sums = new Map<string, Sums>();

  /** `endpointLimit`: most endpoint series to show. */
  constructor(core: CountingCore, endpointLimit: number) {
    this.#core = core;
    this.#endpointLimit = endpointLimit;
  }

  /**
   * Reads the kernel's counters and adds what is new. Call it before elements are deleted, too, if what they
   * counted since the last time shall not be lost.
   */
  collect(backend: Pick<Backend, "readCounters">): void {
    const fresh = new Map<TableId, Map<string, number>>();
    backend.readCounters((id, keysAndPackets, count) => {
      const table = id as TableId;
      if (kindOf(table) === undefined) return;
      const keys = keySize(table);
      const packets = this.#core.count(table, keysAndPackets, count);
      const news = fresh.get(table) ?? new Map<string, number>();
      fresh.set(table, news);
      for (let index = 0; index < count; index++) {
        const added = packets[index] as number;
        if (added === 0) continue;
        const at = index * (keys + 8);
        news.set(textOf(keysAndPackets.subarray(at, at + keys)), added);
      }
    });
    const names = new Map<number, Sums | undefined>();
    const sumsOf = (owner: number) => memoize(names, owner, () => this.#sumsOf(owner));
    for (const [table, news] of fresh) {
      if (kindOf(table) !== "frontend" || news.size === 0) continue;
      for (const { key, owner, added } of this.#countedFrontends(table, news)) {
        const sums = sumsOf(owner);
        const port = sums && portLabel(this.#core.readService(owner as ServiceId), table, key);
        if (sums && port) sums.ports.set(port, (sums.ports.get(port) ?? 0) + added);
      }
    }
    this.#countEndpoints(fresh, sumsOf);
    this.#forgetDeleted();
  }

  /** The instruments to print: connections by service port and by endpoint. */
  instruments(): Instrument[] {
    const ports: Sample[] = [];
    const endpoints: Sample[] = [];
    let omitted = 0;
    for (const { namespace, name: service, ...sums } of this.#sums.values()) {
      for (const [port, value] of sums.ports)
        ports.push({ labels: { namespace, service, port }, value });
      for (const [endpoint, value] of sums.endpoints) {
        if (endpoints.length >= this.#endpointLimit) omitted++;
        else endpoints.push({ labels: { namespace, service, endpoint }, value });
      }
    }
    return [
      {
        name: "sluice_service_connections_total",
        help: "New connections by service port: its name, or its number if it has none",
        type: "counter",
        samples: () => ports,
      },
      {
        name: "sluice_endpoint_connections_total",
        help: "New connections by endpoint, without those that session affinity led back to it",
        type: "counter",
        samples: () => endpoints,
      },
      {
        name: "sluice_endpoint_series_omitted",
        help: "Endpoints with connections beyond sluice.endpointMetricsLimit",
        type: "gauge",
        samples: () => [{ labels: {}, value: omitted }],
      },
    ];
  }

  /** Who owns the frontends that counted something. Those that lead nowhere are not connections. */
  #countedFrontends(table: TableId, news: ReadonlyMap<string, number>) {
    const counted: { key: Uint8Array; owner: number; added: number }[] = [];
    this.#core.eachElement(table, (key, value, owner) => {
      const added = news.get(textOf(key));
      if (added !== undefined && leadsToEndpoints(value)) {
        counted.push({ key: key.slice(), owner, added });
      }
    });
    return counted;
  }

  /** Adds up by endpoint, and forgets endpoints that no slot leads to any more. */
  #countEndpoints(
    fresh: ReadonlyMap<TableId, ReadonlyMap<string, number>>,
    sumsOf: (owner: number) => Sums | undefined,
  ): void {
    const counted: { owner: number; endpoint: string; added: number }[] = [];
    const alive = new Map<number, Set<string>>();
    for (const sums of this.#sums.values()) {
      const owner = this.#core.findService(`${sums.namespace}/${sums.name}`);
      if (owner !== undefined && sums.endpoints.size > 0) alive.set(owner, new Set());
    }
    for (const table of TABLE_IDS) {
      if (kindOf(table) !== "slot") continue;
      const news = fresh.get(table);
      if (alive.size === 0 && !news?.size) continue;
      this.#core.eachElement(table, (key, value, owner) => {
        const known = alive.get(owner);
        const added = news?.size ? news.get(textOf(key)) : undefined;
        if (known === undefined && added === undefined) return;
        const endpoint = printEndpoint(value);
        known?.add(endpoint);
        if (added !== undefined) counted.push({ owner, endpoint, added });
      });
    }
    for (const [owner, endpoints] of alive) {
      const sums = sumsOf(owner);
      for (const endpoint of sums?.endpoints.keys() ?? []) {
        if (!endpoints.has(endpoint)) sums?.endpoints.delete(endpoint);
      }
    }
    for (const { owner, endpoint, added } of counted) {
      const sums = sumsOf(owner);
      sums?.endpoints.set(endpoint, (sums.endpoints.get(endpoint) ?? 0) + added);
    }
  }

  #sumsOf(owner: number): Sums | undefined {
    const key =
      owner === OWNER_NODE || owner === OWNER_ADOPTED
        ? ""
        : this.#core.serviceKey(owner as ServiceId);
    const slash = key.indexOf("/");
    if (slash < 0) return undefined;
    return memoize(this.#sums, key, () => ({
      namespace: key.slice(0, slash),
      name: key.slice(slash + 1),
      ports: new Map(),
      endpoints: new Map(),
    }));
  }

  #forgetDeleted(): void {
    for (const key of this.#sums.keys()) {
      const id = this.#core.findService(key);
      if (id === undefined || this.#core.readService(id) === undefined) this.#sums.delete(key);
    }
  }
}

/** Which side of a connection a table's elements count; undefined: neither. */
function kindOf(table: TableId): "frontend" | "slot" | undefined {
  const { name, value } = tableKind(table);
  if (FRONTEND_TABLES.has(name)) return "frontend";
  return value === "endpoint" ? "slot" : undefined;
}

function leadsToEndpoints(value: Uint8Array): boolean {
  const code = new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true) as ActionCode;
  const { verb } = decodeAction(code);
  return verb === "pick" || verb === "sticky";
}

/** The port's name, or its number if it has none; undefined for a port the Service no longer has. */
function portLabel(
  service: Service | undefined,
  table: TableId,
  key: Uint8Array,
): string | undefined {
  const { name } = tableKind(table);
  const nodePort = name === "nodeports" || name === "nodeports-outside";
  const at = nodePort ? 0 : tableFamily(table) === 4 ? 4 : 16;
  const protocol = key[at];
  const number = ((key[at + 4] as number) << 8) | (key[at + 5] as number);
  const port = service?.ports.find(
    (candidate) =>
      candidate.protocol === protocol &&
      number === (nodePort ? candidate.nodePort : candidate.port),
  );
  return port && (port.name === "" ? String(port.port) : port.name);
}

/** A key that a Map can hold. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

function memoize<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined || map.has(key)) return known as Value;
  const made = make();
  map.set(key, made);
  return made;
}
