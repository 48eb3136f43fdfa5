/**
 * Reports frontends that cannot remember new clients: a problem and a log line for each Service,
 * and a count of these clients' connections. Such a client is served, but its next connection may
 * reach another endpoint.
 */
import type { FullFrontend, FullFrontendReader } from "../backend/parts.ts";
import type { Clock } from "../base/clock.ts";
import { rethrowDefect } from "../base/errors.ts";
import { NOT_REMEMBERED_POLL_MS } from "../base/limits.ts";
import type { Core } from "../core/core.ts";
import { isServiceOwner } from "../model/owner.ts";
import type { Service } from "../model/service.ts";
import { isNodePortTable, readAddress, readPort, readProtocol } from "../model/table-keys.ts";
import { type TableId, tableFamily, tableId } from "../model/tables.ts";
import { printAddressPort } from "../net/address.ts";
import { printProtocol } from "../net/protocol.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import type { Instrument } from "./instruments.ts";
import { portLabel } from "./port-label.ts";

export interface FullFrontendsOptions {
  readonly core: Pick<Core, "elementCount" | "ownerOf" | "findService" | "readService">;
  readonly clock: Clock;
  readonly problems: ReportProblems;
  /** Called once when the kernel's sets cannot be read, and again only after a success. */
  readonly failed: (error: unknown) => void;
}

/** Frontends with session affinity. */
const AFFINITY_TABLES = ([4, 6] as const).flatMap((family) => [
  tableId("learn", family),
  tableId("nodeports-learn", family),
]);

/** Connections by Service port. */
interface PortSum {
  readonly namespace: string;
  readonly service: string;
  readonly port: string;
  connections: number;
}

export class FullFrontends {
  readonly #options: FullFrontendsOptions;
  readonly #problems: ProblemSet;
  /** Keyed by Service and port. */
  readonly #sums = new Map<string, PortSum>();
  /** The kernel's counts at the last read, keyed by frontend. */
  #counted = new Map<string, number>();
  #reader: FullFrontendReader | undefined;
  #cancelRead: () => void = () => {};
  #failing = false;

  constructor(options: FullFrontendsOptions) {
    this.#options = options;
    this.#problems = new ProblemSet(options.problems);
  }

  /** Reads now, and regularly until `stop`. Without a reader, it does nothing. */
  start(reader: FullFrontendReader | undefined): void {
    if (reader === undefined) return;
    this.#reader = reader;
    this.#readLater();
  }

  stop(): void {
    this.#reader = undefined;
    this.#cancelRead();
  }

  /** Reads the kernel's sets, once it has started. Takes no time without session affinity. */
  read(): void {
    const { core, failed } = this.#options;
    if (this.#reader === undefined) return;
    const inUse = AFFINITY_TABLES.some((table) => core.elementCount(table) > 0);
    try {
      this.#take(inUse ? this.#reader.read() : []);
      this.#failing = false;
    } catch (error) {
      rethrowDefect(error);
      if (!this.#failing) failed(error);
      this.#failing = true;
    }
  }

  /** Returns the instruments to print. */
  instruments(): Instrument[] {
    const samples = [...this.#sums.values()].map(({ connections: value, ...labels }) => ({
      labels,
      value,
    }));
    return [
      {
        name: "sluice_affinity_connections_not_remembered_total",
        help: "New connections of clients that session affinity could not remember, by Service port",
        type: "counter",
        labels: ["namespace", "service", "port"],
        samples: () => samples,
      },
    ];
  }

  #readLater(): void {
    this.read();
    this.#cancelRead = this.#options.clock.after(NOT_REMEMBERED_POLL_MS, () => this.#readLater());
  }

  #take(full: readonly FullFrontend[]): void {
    const before = this.#counted;
    this.#counted = new Map();
    const frontends = new Map<string, string[]>();
    for (const one of full) {
      const { table, key, connections } = one;
      const service = this.#serviceOf(one);
      if (service === undefined) continue;
      const name = `${service.namespace}/${service.name}`;
      const printed = printFrontend(table, key);
      frontends.set(name, [...(frontends.get(name) ?? []), printed]);
      const known = before.get(`${name} ${printed}`) ?? 0;
      this.#counted.set(`${name} ${printed}`, connections);
      // The kernel forgets a frontend that is no longer full. Its count then starts at 0 again.
      this.#count(service, one, connections < known ? connections : connections - known);
    }
    this.#problems.set([...frontends].map(([name, full]) => problemOf(name, full)));
    this.#forgetDeleted();
  }

  #serviceOf({ table, key }: FullFrontend): Service | undefined {
    const { core } = this.#options;
    const owner = core.ownerOf(table, key);
    return owner !== undefined && isServiceOwner(owner) ? core.readService(owner) : undefined;
  }

  #count(service: Service, { table, key }: FullFrontend, added: number): void {
    const port = portLabel(service, table, key);
    if (port === undefined || added === 0) return;
    const { namespace, name } = service;
    const sumKey = `${namespace}/${name} ${port}`;
    const sum = this.#sums.get(sumKey) ?? { namespace, service: name, port, connections: 0 };
    sum.connections += added;
    this.#sums.set(sumKey, sum);
  }

  #forgetDeleted(): void {
    const { core } = this.#options;
    for (const [key, { namespace, service }] of this.#sums) {
      const id = core.findService(`${namespace}/${service}`);
      if (id === undefined || core.readService(id) === undefined) this.#sums.delete(key);
    }
  }
}

function problemOf(service: string, frontends: readonly string[]) {
  return {
    subject: `Service ${service}`,
    code: "AFFINITY_FULL",
    field: "spec.sessionAffinity",
    message: `spec.sessionAffinity: no room to remember new clients of ${frontends.toSorted().join(", ")}; they are served without affinity`,
  } as const;
}

/** Prints `10.96.0.1:80/TCP`, or `IPv4 node port 30080/TCP`. */
function printFrontend(table: TableId, key: Uint8Array): string {
  const protocol = printProtocol(readProtocol(table, key)).toUpperCase();
  const port = readPort(table, key);
  if (isNodePortTable(table)) return `IPv${tableFamily(table)} node port ${port}/${protocol}`;
  return `${printAddressPort(readAddress(table, key), port)}/${protocol}`;
}
