/**
 * Decides which of several Services holds a frontend that they all claim: the oldest by
 * creationTimestamp, then the first by namespace/name. In kube-proxy the holder is undefined and
 * changes from sync to sync. Here it depends on the Services alone, not on their order of arrival.
 */
import { addressKey, type FrontendKey } from "../model/frontend-key.ts";
import type { Service, ServiceId } from "../model/service.ts";
import { printAddress } from "../net/address.ts";
import { printLowercaseProtocol } from "../net/protocol.ts";
import type { Problem } from "../problems/problem.ts";
import {
  clusterIpsOf,
  type ExpandedService,
  type Frontend,
  fieldOf,
  frontendsOf,
} from "./frontends.ts";

/** The claims of one Service. Kept small, because the cluster has one for each Service. */
interface Claimant {
  readonly created: number;
  readonly keys: readonly FrontendKey[];
}

const NOBODY: readonly ServiceId[] = [];
const NO_KEYS: readonly FrontendKey[] = [];

/**
 * Keeps the claims of every Service. A Service must be passed to `update` before it is planned;
 * only frontends that it holds are planned for it.
 */
export class FrontendClaims {
  readonly #nameOf: (id: ServiceId) => string;
  /** One claimant in almost all cases. If Services compete, a list with the holder first. */
  readonly #claims = new Map<FrontendKey, ServiceId | ServiceId[]>();
  /** Indexed by Service id, because ids are small and dense. */
  readonly #claimants: (Claimant | undefined)[] = [];
  /** The number of frontends that more than one Service claims. */
  #contested = 0;

  /** `nameOf` returns the `namespace/name` of a Service that was passed to `update`. */
  constructor(nameOf: (id: ServiceId) => string) {
    this.#nameOf = nameOf;
  }

  /**
   * Records the frontends of a new or changed Service. Returns other Services that won or lost one.
   */
  update(expanded: ExpandedService): readonly ServiceId[] {
    const { id, created } = expanded.service;
    return this.#replace(id, { created, keys: keysOf(expanded) });
  }

  /**
   * Releases all claims of the Service. Returns the Services that now hold one of its frontends.
   */
  remove(id: ServiceId): readonly ServiceId[] {
    return this.#replace(id, undefined);
  }

  /** Reports whether this Service holds the frontend. False before its `update`. */
  holds(id: ServiceId, key: FrontendKey): boolean {
    return this.#holder(key) === id;
  }

  /** Returns one FRONTEND_TAKEN for each frontend that an older Service holds; usually none. */
  problems(service: Service): Problem[] {
    const problems: Problem[] = [];
    if (this.#contested === 0) return problems;
    const lost = new Set<string>();
    const taken = (key: FrontendKey): ServiceId | undefined => {
      const holder = this.#holder(key);
      return holder === service.id ? undefined : holder;
    };
    const problem = (what: string, field: string, text: string, holder: ServiceId): Problem => ({
      subject: `Service ${service.namespace}/${service.name}`,
      code: "FRONTEND_TAKEN",
      // It names the frontend too, because one field of the Service may lose several.
      field: `${field}: ${text}`,
      message: `${field}: ${what} is already used by Service ${this.#nameOf(holder)}, which ${this.#why(service, holder)}`,
    });
    const frontends = frontendsOf(service);
    const dualStack = new Set(frontends.map(({ family }) => family)).size > 1;
    for (const frontend of frontends) {
      const holder = taken(frontend.key);
      if (holder === undefined) continue;
      const { what, text } = print(frontend, dualStack);
      problems.push(problem(what, fieldOf(frontend), text, holder));
      if (frontend.address) lost.add(printAddress(frontend.address.bytes));
    }
    for (const address of clusterIpsOf(service)) {
      const holder = taken(addressKey(address.bytes));
      const text = printAddress(address.bytes);
      if (holder === undefined || lost.has(text)) continue;
      problems.push(problem(text, "spec.clusterIPs", text, holder));
    }
    return problems;
  }

  /** Returns why `holder` precedes the Service. */
  #why(service: Service, holder: ServiceId): string {
    const older = (this.#claimants[holder]?.created ?? 0) < service.created;
    return older ? "is older" : "is as old and comes first by name";
  }

  #holder(key: FrontendKey): ServiceId | undefined {
    const claims = this.#claims.get(key);
    return typeof claims === "object" ? claims[0] : claims;
  }

  #replace(id: ServiceId, next: Claimant | undefined): readonly ServiceId[] {
    const before = this.#claimants[id];
    if (before !== undefined && next !== undefined && same(before, next)) return NOBODY;
    const old = before?.keys ?? NO_KEYS;
    const now = next?.keys ?? NO_KEYS;
    const keys = old.length === 0 ? now : [...old, ...now];
    const holders = keys.map((key) => this.#holder(key));
    for (const key of old) this.#release(key, id);
    this.#claimants[id] = next;
    for (const key of now) this.#claim(key, id);

    let changed: Set<ServiceId> | undefined;
    for (let i = 0; i < keys.length; i++) {
      const formerHolder = holders[i];
      const holder = this.#holder(keys[i] as FrontendKey);
      if (formerHolder === holder) continue;
      for (const other of [formerHolder, holder]) {
        if (other === undefined || other === id) continue;
        changed ??= new Set();
        changed.add(other);
      }
    }
    return changed === undefined ? NOBODY : [...changed];
  }

  #claim(key: FrontendKey, id: ServiceId): void {
    const present = this.#claims.get(key);
    if (present === undefined) {
      this.#claims.set(key, id);
      return;
    }
    if (typeof present !== "object") this.#contested++;
    const list = typeof present === "object" ? present : [present];
    const place = list.findIndex((other) => this.#precedes(id, other));
    list.splice(place < 0 ? list.length : place, 0, id);
    this.#claims.set(key, list);
  }

  #release(key: FrontendKey, id: ServiceId): void {
    const present = this.#claims.get(key);
    if (typeof present !== "object") {
      this.#claims.delete(key);
      return;
    }
    const rest = present.filter((other) => other !== id);
    const only = rest.length === 1 ? rest[0] : undefined;
    if (only !== undefined) this.#contested--;
    this.#claims.set(key, only ?? rest);
  }

  #precedes(a: ServiceId, b: ServiceId): boolean {
    const difference = (this.#claimants[a]?.created ?? 0) - (this.#claimants[b]?.created ?? 0);
    return difference !== 0 ? difference < 0 : this.#nameOf(a) < this.#nameOf(b);
  }
}

function keysOf({ frontends, clusterIPs }: ExpandedService): FrontendKey[] {
  const keys: FrontendKey[] = [];
  for (const frontend of frontends) keys.push(frontend.key);
  for (const address of clusterIPs) keys.push(addressKey(address.bytes));
  return keys;
}

function same(a: Claimant, b: Claimant): boolean {
  if (a.created !== b.created || a.keys.length !== b.keys.length) return false;
  for (let i = 0; i < a.keys.length; i++) if (a.keys[i] !== b.keys[i]) return false;
  return true;
}

/**
 * Returns the frontend as messages and as fields of problems name it. `dualStack`: the Service has
 * node ports of both families, which may have different holders.
 */
function print(
  { address, family, protocol, port }: Frontend,
  dualStack: boolean,
): { readonly what: string; readonly text: string } {
  const word = printLowercaseProtocol(protocol);
  const rest = `${port}/${word.toUpperCase()}`;
  if (address === undefined) {
    const nodePort = dualStack ? `IPv${family} node port` : "node port";
    return { what: `${nodePort} ${rest}`, text: `${nodePort} ${word} ${port}` };
  }
  const ip = printAddress(address.bytes);
  const host = family === 6 ? `[${ip}]` : ip;
  return { what: `${host}:${rest}`, text: `${ip} ${word} ${port}` };
}
