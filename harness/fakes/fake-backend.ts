/**
 * Emulates the kernel's dataplane in memory. A transaction is applied completely or not at all. It
 * is refused if it adds an existing element with another value, or deletes a missing one.
 */
import type { Adoption, ApplyResult, Backend, OwnerLookup } from "../../src/backend/backend.ts";
import type { Capabilities } from "../../src/backend/capabilities.ts";
import type { Drift, ForeignChange } from "../../src/backend/drift.ts";
import { SluiceError } from "../../src/base/errors.ts";
import type { Core } from "../../src/core/core.ts";
import type { Operation, OperationList } from "../../src/model/operation-list.ts";
import { TABLE_IDS, type TableId, tableLabel } from "../../src/model/tables.ts";
import { printElement } from "../plan/print-elements.ts";

interface Element {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface Transaction {
  readonly adds: number;
  readonly deletes: number;
  readonly owners: ReadonlySet<number>;
  /** Names of the Services by id, from the last operations. */
  readonly services: ReadonlySet<string>;
}

export class FakeBackend implements Backend {
  readonly mode = "nftables";
  readonly capabilities: Capabilities = {
    ownRules: { form: "nftables", sharesKubeProxyChains: false },
    unserved: [],
    unsupported: [],
    maxOperations: Number.POSITIVE_INFINITY,
    singleTransaction: false,
    syncCooldownMsMax: 0,
    opensHealthCheckPorts: false,
    affinityMaps: true,
    localhostNodePorts: false,
  };
  readonly counters = undefined;
  readonly fullFrontends = undefined;
  readonly chains = undefined;
  readonly leftovers = { remove: () => Promise.resolve() };
  readonly tables = new Map<TableId, Map<string, Element>>();
  readonly transactions: Transaction[] = [];
  /** The outcome of the next transactions: an error, or an operation that the kernel refuses. */
  transient: SluiceError | undefined;
  /** The error of reading the tables. */
  unreadable: SluiceError | undefined;
  refuses: (operation: Operation) => boolean = () => false;
  /** Whether the error names the owner of the refused operation. */
  namesCulprit = true;
  /** Transactions wait for this before they reach the kernel; undefined means no wait. */
  gate: Promise<void> | undefined;
  /** Whether a transaction waits. */
  waiting = false;

  probe(): void {}

  start(core: Core): Adoption {
    if (this.unreadable !== undefined) throw this.unreadable;
    let elements = 0;
    for (const [table, content] of this.tables) {
      const packed = Buffer.concat(
        [...content.values()].map(({ key, value }) => Buffer.concat([key, value])),
      );
      core.adopt(table, new Uint8Array(packed), content.size);
      elements += content.size;
    }
    return { outcome: elements > 0 ? "adopted" : "fresh", what: "tables in memory", elements };
  }

  watch(): void {}

  /** Another program changed something since the last `verify`, which compares whole tables. */
  touched: ForeignChange | undefined;
  reconfigure = () => true;

  verify(core: Core): Promise<Drift | undefined> {
    if (this.unreadable !== undefined) return Promise.reject(this.unreadable);
    if (this.touched === undefined) return Promise.resolve(undefined);
    const change = this.touched;
    this.touched = undefined;
    let added = 0;
    let deleted = 0;
    for (const table of TABLE_IDS) {
      const found = this.tables.get(table) ?? new Map<string, Element>();
      const content = new Map<string, Element>();
      core.eachElement(table, (key, value) => {
        content.set(key.toHex(), { key: key.slice(), value: value.slice() });
        const same = found.get(key.toHex())?.value.toHex() === value.toHex();
        if (!same) added++;
        if (!same && found.has(key.toHex())) deleted++;
      });
      for (const key of found.keys()) if (!content.has(key)) deleted++;
      this.tables.set(table, content);
    }
    const transactions = Math.min(1, added + deleted);
    if (transactions > 0) {
      this.transactions.push({
        adds: added,
        deletes: deleted,
        owners: new Set(),
        services: new Set(),
      });
    }
    const written = { operations: added + deleted, added, bytes: 0, transactions, kernelMs: 0 };
    const element = Math.max(added, deleted);
    const driftedCounts = element > 0 ? { element } : {};
    return Promise.resolve({
      change,
      changes: 1,
      noticedAt: 0,
      driftedCounts,
      written,
      refused: [],
    });
  }

  apply(operations: OperationList, owners: OwnerLookup): ApplyResult | Promise<ApplyResult> {
    const done = this.#take(operations, owners);
    if (this.gate === undefined) return done();
    this.waiting = true;
    return this.gate.then(() => {
      this.waiting = false;
      return done();
    });
  }

  /** Reads the operations, which is allowed only now. The result applies them to the kernel. */
  #take(operations: OperationList, { serviceOf }: OwnerLookup): () => ApplyResult {
    if (this.transient !== undefined) {
      const error = this.transient;
      return () => ({ ok: false, error, transient: true });
    }
    const next = new Map([...this.tables].map(([table, content]) => [table, new Map(content)]));
    const owners = new Set<number>();
    const services = new Set<string>();
    let adds = 0;
    let deletes = 0;
    for (const operation of operations) {
      owners.add(operation.owner);
      const service = serviceOf(operation.owner);
      if (service !== undefined) services.add(service.name);
      const content = next.get(operation.table) ?? new Map<string, Element>();
      next.set(operation.table, content);
      const key = operation.key.toHex();
      const present = content.has(key);
      const wrong = operation.kind === "add" ? present : !present;
      if (wrong || this.refuses(operation)) {
        const label = tableLabel(operation.table);
        const message = `${operation.kind} element ${key} of ${label}: refused by the kernel`;
        const error = new SluiceError("NETLINK_REFUSED", message);
        const drifted = wrong;
        if (drifted) this.touched = { what: label, by: "refused", objects: [] };
        const named = this.namesCulprit ? { owner: operation.owner } : {};
        return () => ({ ok: false, error, transient: false, drifted, ...named });
      }
      if (operation.kind === "add") {
        adds++;
        content.set(key, { key: operation.key.slice(), value: operation.value.slice() });
      } else {
        deletes++;
        content.delete(key);
      }
    }
    const { bytes } = operations;
    return () => {
      for (const [table, content] of next) this.tables.set(table, content);
      this.transactions.push({ adds, deletes, owners, services });
      return { ok: true, bytes, kernelMs: 0 };
    };
  }

  close(): void {}

  /**
   * Every element as a line, sorted. Slots are by endpoint, because their numbers depend on
   * history.
   */
  print(): string[] {
    const lines: string[] = [];
    for (const [table, content] of this.tables) {
      for (const { key, value } of content.values()) {
        lines.push(printElement(table, key, value, "").replace(" ()", ""));
      }
    }
    return lines.sort();
  }

  /** Lines of one table. */
  table(label: string): string[] {
    return this.print().filter((line) => line.startsWith(`${label} `));
  }
}

/**
 * Removes what depends on history: the slots of endpoints, and the numbers of the endpoints of
 * frontends with session affinity. A number stays in the line of an endpoint that has another one.
 */
export function withoutHistory(lines: readonly string[]): string[] {
  const numbers = new Map<string, string>();
  for (const line of lines) {
    const { owned, number } = NUMBER_OF.exec(line)?.groups ?? {};
    if (owned !== undefined && number !== undefined) numbers.set(owned, number);
  }
  return lines.map((line) => withoutNumber(line.replace(/ slot \d+/, " slot"), numbers)).sort();
}

/** `endpoint-numbers4 10.96.0.1 tcp 80 10.1.0.5 8080 -> number 2`, also of node ports. */
const NUMBER_OF = /^(?:nodeport-)?endpoint-numbers(?<owned>.*) -> number (?<number>\d+)/;
/** `numbered-endpoints4 10.96.0.1 tcp 80 number 2 -> 10.1.0.5:8080`, also of node ports. */
const ENDPOINT_OF = /^\S*numbered-\S*endpoints(.*) number (\d+) -> \[?(.*?)\]?:(\d+)/;

function withoutNumber(line: string, numbers: ReadonlyMap<string, string>): string {
  if (NUMBER_OF.test(line)) return line.replace(/ number \d+/, " number");
  const [, frontend, number, address, port] = ENDPOINT_OF.exec(line) ?? [];
  const own = numbers.get(`${frontend} ${address} ${port}`);
  return own === number ? line.replace(/ number \d+/, " number") : line;
}
