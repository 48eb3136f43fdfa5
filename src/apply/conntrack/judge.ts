/** Which flows of UDP must not go on as they are. */
import { OWNER_ADOPTED, OWNER_NODE } from "../../../asm/layout.ts";
import type { Core } from "../../core/core.ts";
import { type FrontendText, frontendText } from "../../diff/udp-frontends.ts";
import { type Family, type TableName, tableId } from "../../plan/tables.ts";
import { PROTOCOLS, type Service, type ServiceId } from "../../types.ts";
import type { EntryReader } from "./entries.ts";

/** What is known of one frontend. */
interface Knowledge {
  /** Bytes of its endpoints, in hexadecimal; undefined if it is not known whose it is: leave it alone. */
  readonly endpoints: ReadonlySet<string> | undefined;
}

type Names = readonly TableName[];
const FRONTENDS: Names = ["frontends", "outside", "no-endpoints"];
const NODE_PORTS: Names = ["nodeports", "nodeports-outside", "nodeports-no-endpoints"];
const PROTOCOL_AND_PORT = 8;

/**
 * Judges entries by some frontends. Endpoints are those that selection finds, whatever the traffic policies
 * say: a policy that changes cuts no flow.
 */
export class Judge {
  readonly #core: Core;
  readonly #frontends: ReadonlySet<FrontendText>;
  readonly #known = new Map<FrontendText, Knowledge>();
  /** Most entries are told apart by their port alone. */
  readonly #ports = new Set<number>();
  readonly #nodePorts = new Set<number>();
  readonly #keys = { 4: new Uint8Array(4 + PROTOCOL_AND_PORT), 6: new Uint8Array(16 + 8) };
  readonly #endpoints = { 4: new Uint8Array(8), 6: new Uint8Array(20) };

  constructor(core: Core, frontends: ReadonlySet<FrontendText>) {
    this.#core = core;
    this.#frontends = frontends;
    for (const text of frontends) {
      const port = Number.parseInt(text.slice(-8, -4), 16);
      const nodePort = text.length === 1 + 2 * PROTOCOL_AND_PORT;
      (nodePort ? this.#nodePorts : this.#ports).add(port);
    }
  }

  /** Something changed: what is known of frontends and their endpoints is asked for again. */
  forget(): void {
    this.#known.clear();
  }

  /** Is the entry one of UDP to one of the frontends, answered by nobody who serves it? */
  condemns(family: Family, entry: EntryReader): boolean {
    if (entry.protocol !== PROTOCOLS.UDP) return false;
    const port = entry.destinationPort;
    const byAddress = this.#ports.has(port);
    const byNodePort = this.#nodePorts.has(port);
    if (!byAddress && !byNodePort) return false;
    const key = this.#keys[family];
    const size = family === 4 ? 4 : 16;
    copy(entry.bytes, entry.destination, key, size);
    key[size] = PROTOCOLS.UDP;
    key[size + 4] = port >> 8;
    key[size + 5] = port;
    const tail = key.subarray(size);
    if (byAddress) {
      const text = frontendText(family, key);
      if (this.#frontends.has(text)) return this.#isStale(family, text, key, FRONTENDS, entry);
    }
    if (!byNodePort) return false;
    const text = frontendText(family, tail);
    if (!this.#frontends.has(text)) return false;
    // The address may be a frontend with that very port as well, which then comes first.
    if (this.#ownerOf(family, key, FRONTENDS) !== undefined) return false;
    const address = key.subarray(0, size);
    if (this.#core.ownerOf(tableId("node-addresses", family), address) === undefined) return false;
    return this.#isStale(family, text, tail, NODE_PORTS, entry);
  }

  #isStale(
    family: Family,
    text: FrontendText,
    key: Uint8Array,
    tables: Names,
    entry: EntryReader,
  ): boolean {
    let known = this.#known.get(text);
    if (known === undefined) {
      known = { endpoints: this.#endpointsOf(family, key, tables) };
      this.#known.set(text, known);
    }
    const { endpoints } = known;
    if (endpoints === undefined) return false;
    // Never translated: a way of its own while there are no endpoints, a black hole when there are.
    if (isUntranslated(family, entry)) return endpoints.size > 0;
    const endpoint = this.#endpoints[family];
    const size = family === 4 ? 4 : 16;
    copy(entry.bytes, entry.source, endpoint, size);
    endpoint[size] = entry.sourcePort >> 8;
    endpoint[size + 1] = entry.sourcePort;
    return !endpoints.has(endpoint.toHex());
  }

  #ownerOf(family: Family, key: Uint8Array, tables: Names): number | undefined {
    for (const name of tables) {
      const owner = this.#core.ownerOf(tableId(name, family), key);
      if (owner !== undefined) return owner;
    }
    return undefined;
  }

  #endpointsOf(family: Family, key: Uint8Array, tables: Names): ReadonlySet<string> | undefined {
    const owner = this.#ownerOf(family, key, tables);
    const endpoints = new Set<string>();
    // The frontend is gone: whoever answers does so no longer.
    if (owner === undefined) return endpoints;
    if (owner === OWNER_ADOPTED || owner === OWNER_NODE) return undefined;
    const id = owner as ServiceId;
    const service = this.#core.readService(id);
    if (service === undefined) return endpoints;
    const indices = portsOf(service, key, tables === NODE_PORTS);
    const stride = family === 4 ? 8 : 20;
    this.#core.select([id], (_, choices) => {
      for (const choice of choices) {
        if (choice.family !== family || !indices.includes(choice.portIndex)) continue;
        for (const { pointer, count } of [choice.cluster, choice.local]) {
          const span = this.#core.memory().subarray(pointer, pointer + count * stride);
          for (let at = 0; at < span.length; at += stride) {
            endpoints.add(span.subarray(at, at + stride).toHex());
          }
        }
      }
    });
    return endpoints;
  }
}

/** Indices of the ports of UDP that the key, which ends in a port, stands for. */
function portsOf({ ports }: Service, key: Uint8Array, nodePort: boolean): number[] {
  const port = ((key.at(-4) ?? 0) << 8) | (key.at(-3) ?? 0);
  return ports.flatMap((one, index) =>
    one.protocol === PROTOCOLS.UDP && (nodePort ? one.nodePort : one.port) === port ? [index] : [],
  );
}

function isUntranslated(family: Family, entry: EntryReader): boolean {
  const { bytes, destination, source } = entry;
  if (entry.destinationPort !== entry.sourcePort) return false;
  const size = family === 4 ? 4 : 16;
  for (let i = 0; i < size; i++) if (bytes[destination + i] !== bytes[source + i]) return false;
  return true;
}

function copy(from: Uint8Array, start: number, to: Uint8Array, length: number): void {
  for (let i = 0; i < length; i++) to[i] = from[start + i] as number;
}
