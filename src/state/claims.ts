/**
 * Who gets a frontend that several Services claim: the oldest, by creationTimestamp, then by
 * namespace/name. kube-proxy leaves this undefined and flips between them at every sync; here the outcome
 * depends on the Services alone, never on the order in which they arrive.
 */
import { printAddress } from "../address.ts";
import { PROTOCOLS, type Problem, type Service, type ServiceId } from "../types.ts";
import {
  clusterIpKey,
  clusterIpsOf,
  type Frontend,
  type FrontendKey,
  fieldOf,
  frontendsOf,
} from "./frontends.ts";

interface Claimant {
  readonly id: ServiceId;
  readonly created: number;
  readonly name: string;
  readonly keys: readonly FrontendKey[];
}

const NOBODY: readonly ServiceId[] = [];

/**
 * Keeps the claims of every Service. A Service must be `update`d before it is planned; what it does not
 * hold is not planned for it.
 */
export class FrontendClaims {
  /** Almost always one claimant; a list, the holder first, only where Services disagree. */
  readonly #claims = new Map<FrontendKey, ServiceId | Claimant[]>();
  readonly #claimants = new Map<ServiceId, Claimant>();

  /** Takes the frontends of a new or changed Service. Returns the other Services that won or lost one. */
  update(service: Service): readonly ServiceId[] {
    const keys = frontendsOf(service).map((frontend) => frontend.key);
    for (const address of clusterIpsOf(service)) keys.push(clusterIpKey(address));
    const name = `${service.namespace}/${service.name}`;
    return this.#replace(service.id, { id: service.id, created: service.created, name, keys });
  }

  /** Gives up everything the Service claimed. Returns the Services that now hold some of it. */
  remove(id: ServiceId): readonly ServiceId[] {
    return this.#replace(id, undefined);
  }

  /** May this Service be served on this frontend? False before its `update`. */
  holds(id: ServiceId, key: FrontendKey): boolean {
    return this.#holder(key) === id;
  }

  /** One FRONTEND_TAKEN for every frontend that an older Service holds; none is the normal case. */
  problems(service: Service): Problem[] {
    const problems: Problem[] = [];
    const lost = new Set<string>();
    const taken = (key: FrontendKey): string | undefined => {
      const claims = this.#claims.get(key);
      const first = typeof claims === "object" ? claims[0] : undefined;
      return first === undefined || first.id === service.id ? undefined : first.name;
    };
    for (const frontend of frontendsOf(service)) {
      const holder = taken(frontend.key);
      if (holder === undefined) continue;
      problems.push(problem(service, fieldOf(frontend), print(frontend), holder));
      if (frontend.address) lost.add(printAddress(frontend.address.bytes));
    }
    for (const address of clusterIpsOf(service)) {
      const holder = taken(clusterIpKey(address));
      const text = printAddress(address.bytes);
      if (holder === undefined || lost.has(text)) continue;
      problems.push(problem(service, "spec.clusterIPs", text, holder));
    }
    return problems;
  }

  #holder(key: FrontendKey): ServiceId | undefined {
    const claims = this.#claims.get(key);
    return typeof claims === "object" ? claims[0]?.id : claims;
  }

  #replace(id: ServiceId, next: Claimant | undefined): readonly ServiceId[] {
    const before = this.#claimants.get(id);
    if (before !== undefined && next !== undefined && same(before, next)) return NOBODY;
    const keys = [...(before?.keys ?? []), ...(next?.keys ?? [])];
    const holders = keys.map((key) => this.#holder(key));
    for (const key of before?.keys ?? []) this.#release(key, id);
    if (next === undefined) this.#claimants.delete(id);
    else this.#claimants.set(id, next);
    for (const key of next?.keys ?? []) this.#claim(key, next as Claimant);

    const changed = new Set<ServiceId>();
    keys.forEach((key, i) => {
      const was = holders[i];
      const now = this.#holder(key);
      if (was === now) return;
      if (was !== undefined && was !== id) changed.add(was);
      if (now !== undefined && now !== id) changed.add(now);
    });
    return changed.size === 0 ? NOBODY : [...changed];
  }

  #claim(key: FrontendKey, claimant: Claimant): void {
    const present = this.#claims.get(key);
    if (present === undefined) {
      this.#claims.set(key, claimant.id);
      return;
    }
    const list = typeof present === "object" ? present : [this.#claimants.get(present) as Claimant];
    const place = list.findIndex((other) => precedes(claimant, other));
    list.splice(place < 0 ? list.length : place, 0, claimant);
    this.#claims.set(key, list);
  }

  #release(key: FrontendKey, id: ServiceId): void {
    const present = this.#claims.get(key);
    if (typeof present !== "object") {
      this.#claims.delete(key);
      return;
    }
    const rest = present.filter((claimant) => claimant.id !== id);
    const only = rest.length === 1 ? rest[0] : undefined;
    this.#claims.set(key, only === undefined ? rest : only.id);
  }
}

function precedes(a: Claimant, b: Claimant): boolean {
  return a.created !== b.created ? a.created < b.created : a.name < b.name;
}

function same(a: Claimant, b: Claimant): boolean {
  return (
    a.created === b.created &&
    a.name === b.name &&
    a.keys.length === b.keys.length &&
    a.keys.every((key, i) => key === b.keys[i])
  );
}

function problem(service: Service, field: string, what: string, holder: string): Problem {
  const name = `${service.namespace}/${service.name}`;
  return {
    subject: `Service ${name}`,
    code: "FRONTEND_TAKEN",
    field,
    message: `Cannot serve ${what} for Service ${name}: the oldest Service that claims it gets it: current holder is ${holder}`,
  };
}

function print(frontend: Frontend): string {
  const protocol = Object.entries(PROTOCOLS).find(([, number]) => number === frontend.protocol);
  const address = frontend.address ? printAddress(frontend.address.bytes) : "node port";
  return `${address} ${protocol?.[0].toLowerCase()} ${frontend.port}`;
}
