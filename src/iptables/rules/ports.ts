/** Groups frontends by Service port, and chooses the names of each port's chains. Pure. */

import { type FrontendKey, protocolOf } from "../../model/frontend-key.ts";
import type { OwnerId } from "../../model/owner.ts";
import { type LowercaseProtocol, printLowercaseProtocol } from "../../net/protocol.ts";
import { portHash } from "./chain-names.ts";
import type { FrontendElements } from "./frontend-model.ts";

/** A port of a Service that has frontends. */
export interface Port {
  readonly owner: OwnerId;
  readonly name: string;
  readonly protocol: LowercaseProtocol;
  readonly frontends: Set<FrontendKey>;
  /** The chain names contain a hash of this text. */
  identity: string;
  hash: string;
  /** The port's chains in the ruleset. */
  chains: readonly string[];
}

/** The port that a frontend belongs to. */
interface PortPlace {
  readonly port: Port;
  readonly dispatched: boolean;
}

export class Ports {
  readonly #places = new Map<FrontendKey, PortPlace>();
  readonly #byOwner = new Map<OwnerId, Set<FrontendKey>>();
  /** Ports with the same name and protocol, in order of their owner ids. */
  readonly #byName = new Map<string, Port[]>();
  #dispatched = 0;

  /** Number of frontends with dispatched connections. */
  get dispatched(): number {
    return this.#dispatched;
  }

  portOf(key: FrontendKey): Port | undefined {
    return this.#places.get(key)?.port;
  }

  frontendsOf(owner: OwnerId): Iterable<FrontendKey> {
    return this.#byOwner.get(owner) ?? [];
  }

  *all(): Generator<Port> {
    for (const ports of this.#byName.values()) yield* ports;
  }

  /** Assigns a frontend to its port, or removes it. Adds the affected ports to `dirty`. */
  place(
    key: FrontendKey,
    frontend: FrontendElements | undefined,
    dispatched: boolean,
    dirty: Set<Port>,
  ): void {
    const before = this.#places.get(key);
    const port = frontend && this.#portFor(frontend, dirty);
    if (before !== undefined) {
      dirty.add(before.port);
      if (before.dispatched) this.#dispatched--;
      if (before.port !== port) this.#leave(before.port, key, dirty);
    }
    if (port === undefined) {
      this.#places.delete(key);
      return;
    }
    dirty.add(port);
    if (dispatched) this.#dispatched++;
    port.frontends.add(key);
    setOf(this.#byOwner, port.owner).add(key);
    this.#places.set(key, { port, dispatched });
  }

  #portFor({ key, owner, name }: FrontendElements, dirty: Set<Port>): Port {
    const protocol = printLowercaseProtocol(protocolOf(key));
    const identity = name + protocol;
    const ports = this.#byName.get(identity) ?? [];
    let port = ports.find((one) => one.owner === owner);
    if (port === undefined) {
      const hash = "";
      port = { owner, name, protocol, frontends: new Set(), identity, hash, chains: [] };
      ports.push(port);
      this.#byName.set(
        identity,
        ports.sort((a, b) => a.owner - b.owner),
      );
      nameAll(identity, ports, dirty);
    }
    return port;
  }

  #leave(port: Port, key: FrontendKey, dirty: Set<Port>): void {
    port.frontends.delete(key);
    const owned = this.#byOwner.get(port.owner);
    owned?.delete(key);
    if (owned?.size === 0) this.#byOwner.delete(port.owner);
    if (port.frontends.size > 0) return;
    const identity = port.name + port.protocol;
    const ports = (this.#byName.get(identity) ?? []).filter((one) => one !== port);
    if (ports.length === 0) this.#byName.delete(identity);
    else this.#byName.set(identity, ports);
    nameAll(identity, ports, dirty);
  }
}

/**
 * Names the chains of all ports with this identity. Two Services with the same name are a deleted
 * one and its successor. Only the first gets upstream's names.
 */
function nameAll(identity: string, ports: readonly Port[], dirty: Set<Port>): void {
  for (const [index, port] of ports.entries()) {
    const own = index === 0 ? identity : `${identity} of ${port.owner}`;
    if (own === port.identity && port.hash !== "") continue;
    port.identity = own;
    port.hash = portHash(own);
    dirty.add(port);
  }
}

function setOf(sets: Map<OwnerId, Set<FrontendKey>>, owner: OwnerId): Set<FrontendKey> {
  let set = sets.get(owner);
  if (set === undefined) {
    set = new Set();
    sets.set(owner, set);
  }
  return set;
}
