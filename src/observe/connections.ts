/**
 * Counts new connections by service port and by endpoint, from the counters of map elements.
 * Elements come and go with every change: an endpoint moves to another slot, or a changed value
 * makes a new element. The sums here only grow, as Prometheus counters must, until the Service or
 * endpoint is gone.
 *
 * nat chains see only the first packet of a connection, so packets are connections. A connection
 * that session affinity returns to its endpoint skips the slots, and is counted by the endpoint's
 * number.
 */

import type { CounterReader, CounterSink, CounterSlice } from "../backend/parts.ts";
import { rethrowDefect } from "../base/errors.ts";
import { SERVICE_SERIES_MAX } from "../base/limits.ts";
import type { Core } from "../core/core.ts";
import { readAction } from "../model/actions.ts";
import { isServiceOwner, type OwnerId } from "../model/owner.ts";
import { printEndpoint } from "../model/print.ts";
import { keySize, type TableId, tableKind, valueSize } from "../model/tables.ts";
import { type Instrument, type Sample, valueInstrument } from "./instruments.ts";
import { portLabel } from "./port-label.ts";

type CountingCore = Pick<Core, "count" | "ownerOf" | "serviceKey" | "findService" | "readService">;

interface ServiceSums {
  readonly namespace: string;
  readonly name: string;
  readonly ports: Map<string, number>;
  readonly endpoints: Map<string, number>;
  /** Endpoints that the last collection did not find. */
  readonly missing: Set<string>;
}

const FRONTEND_TABLES = new Set(["frontends", "outside", "nodeports", "nodeports-outside"]);

export class ConnectionCounters {
  readonly #core: CountingCore;
  #endpointLimit: number;
  readonly #portLimit: number;
  readonly #failed: (error: unknown) => void;
  /** Keyed by `namespace/name`, because an id may be reused for another Service. */
  readonly #sums = new Map<string, ServiceSums>();
  #collecting: Promise<void> | undefined;
  #failing = false;
  #failures = 0;

  /**
   * `endpointLimit` and `portLimit` are the maximum numbers of endpoint and service port series.
   * The selection is stable while the Services exist. `failed` is called once when the counters
   * cannot be read, and again only after a success.
   */
  constructor(
    core: CountingCore,
    endpointLimit: number,
    failed: (error: unknown) => void,
    portLimit = SERVICE_SERIES_MAX,
  ) {
    this.#core = core;
    this.#endpointLimit = endpointLimit;
    this.#portLimit = portLimit;
    this.#failed = failed;
  }

  /** Applies another `endpointLimit` at run time. */
  configure(endpointLimit: number): void {
    this.#endpointLimit = endpointLimit;
  }

  /**
   * Reads the kernel's counters and adds the increase. Concurrent calls share one collection. A
   * call waits for it until `deadline` resolves, because during a full load it takes as long as the
   * load. Rejects only for a defect. An incomplete collection leaves the sums that it has reached.
   */
  async collect(
    reader: Pick<CounterReader, "read">,
    deadline: Promise<void> = new Promise(() => {}),
  ): Promise<void> {
    this.#collecting ??= this.#collect(reader).finally(() => {
      this.#collecting = undefined;
    });
    await Promise.race([this.#collecting, deadline]);
  }

  /** Adds the increase of these counters. */
  readonly addDeleted: CounterSink = (slice) => this.#take(slice, new Map());

  async #collect(reader: Pick<CounterReader, "read">): Promise<void> {
    const seen = new Map<string, Set<string>>();
    try {
      const quiet = await reader.read((slice) => this.#take(slice, seen));
      this.#forgetDeleted(seen, quiet);
      this.#failing = false;
    } catch (error) {
      rethrowDefect(error);
      this.#failures++;
      if (!this.#failing) this.#failed(error);
      this.#failing = true;
    }
  }

  /** Returns the instruments to print: connections by service port and by endpoint. */
  instruments(): Instrument[] {
    const ports: Sample[] = [];
    const endpoints: Sample[] = [];
    let omittedPorts = 0;
    let omittedEndpoints = 0;
    for (const { namespace, name: service, ...sums } of this.#sums.values()) {
      for (const [port, value] of sums.ports) {
        if (ports.length >= this.#portLimit) omittedPorts++;
        else ports.push({ labels: { namespace, service, port }, value });
      }
      for (const [endpoint, value] of sums.endpoints) {
        if (endpoints.length >= this.#endpointLimit) omittedEndpoints++;
        else endpoints.push({ labels: { namespace, service, endpoint }, value });
      }
    }
    return [
      {
        name: "sluice_service_connections_total",
        help: "New connections by Service port (name, or number if unnamed)",
        type: "counter",
        labels: ["namespace", "service", "port"],
        samples: () => ports,
      },
      {
        name: "sluice_endpoint_connections_total",
        help: "New connections by endpoint",
        type: "counter",
        labels: ["namespace", "service", "endpoint"],
        samples: () => endpoints,
      },
      valueInstrument(
        "gauge",
        {
          name: "sluice_service_series_omitted",
          help: "Service ports above the limit of sluice_service_connections_total",
        },
        omittedPorts,
      ),
      valueInstrument(
        "gauge",
        {
          name: "sluice_endpoint_series_omitted",
          help: "Endpoints above the limit of sluice_endpoint_connections_total",
        },
        omittedEndpoints,
      ),
      valueInstrument(
        "counter",
        {
          name: "sluice_connection_readings_failed_total",
          help: "Failed reads of the connection counters",
        },
        this.#failures,
      ),
    ];
  }

  /**
   * Runs synchronously, so the committed elements cannot change meanwhile. `seen`: endpoints by
   * Service.
   */
  #take({ table, count, keysAndPackets, values }: CounterSlice, seen: Map<string, Set<string>>) {
    const kind = kindOf(table);
    if (kind === undefined) return;
    const keys = keySize(table);
    const packets = this.#core.count(table, keysAndPackets, count);
    const known = new Map<OwnerId, ServiceSums>();
    for (let index = 0; index < count; index++) {
      const added = packets[index] as number;
      if (kind === "frontend" && added === 0) continue;
      const at = index * (keys + 8);
      const key = keysAndPackets.subarray(at, at + keys);
      const owner = this.#core.ownerOf(table, key);
      if (owner === undefined) continue;
      const sums = known.get(owner) ?? this.#sumsOf(owner, added > 0);
      if (sums === undefined) continue;
      known.set(owner, sums);
      const value = values.subarray(index * valueSize(table), (index + 1) * valueSize(table));
      if (kind === "slot") {
        const endpoint = printEndpoint(value);
        memoize(seen, `${sums.namespace}/${sums.name}`, () => new Set<string>()).add(endpoint);
        if (added > 0) sums.endpoints.set(endpoint, (sums.endpoints.get(endpoint) ?? 0) + added);
      } else if (leadsToEndpoints(value)) {
        const service = isServiceOwner(owner) ? this.#core.readService(owner) : undefined;
        const port = portLabel(service, table, key);
        if (port !== undefined) sums.ports.set(port, (sums.ports.get(port) ?? 0) + added);
      }
    }
  }

  #sumsOf(owner: OwnerId, make: boolean): ServiceSums | undefined {
    const key = isServiceOwner(owner) ? this.#core.serviceKey(owner) : "";
    const slash = key.indexOf("/");
    if (slash < 0) return undefined;
    const known = this.#sums.get(key);
    if (known !== undefined || !make) return known;
    const made: ServiceSums = {
      namespace: key.slice(0, slash),
      name: key.slice(slash + 1),
      ports: new Map(),
      endpoints: new Map(),
      missing: new Set(),
    };
    this.#sums.set(key, made);
    return made;
  }

  /**
   * Forgets deleted Services, and endpoints without a slot. If slots changed during the collection,
   * an endpoint may have moved past it, so it must be missing twice.
   */
  #forgetDeleted(seen: ReadonlyMap<string, ReadonlySet<string>>, quiet: boolean): void {
    for (const [key, { endpoints, missing }] of this.#sums) {
      const id = this.#core.findService(key);
      if (id === undefined || this.#core.readService(id) === undefined) {
        this.#sums.delete(key);
        continue;
      }
      const present = seen.get(key);
      for (const endpoint of endpoints.keys()) {
        if (present?.has(endpoint)) missing.delete(endpoint);
        else if (quiet || missing.has(endpoint)) {
          endpoints.delete(endpoint);
          missing.delete(endpoint);
        } else missing.add(endpoint);
      }
    }
  }
}

/** Returns what the elements of a table count, or undefined if nothing. */
function kindOf(table: TableId): "frontend" | "slot" | undefined {
  const { name, value } = tableKind(table);
  if (FRONTEND_TABLES.has(name)) return "frontend";
  return value === "endpoint" ? "slot" : undefined;
}

function leadsToEndpoints(value: Uint8Array): boolean {
  const { verb } = readAction(value);
  return verb === "pick" || verb === "recall";
}

function memoize<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined || map.has(key)) return known as Value;
  const made = make();
  map.set(key, made);
  return made;
}
