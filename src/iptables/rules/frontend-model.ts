/** Groups the elements of all tables by frontend. The chains are built from this model. Pure. */
import { type Action, readAction } from "../../model/actions.ts";
import {
  addressText,
  type FrontendKey,
  isNodePort,
  portOf,
  protocolOf,
  readAddressKey,
  readFrontendKey,
} from "../../model/frontend-key.ts";
import type { Operation } from "../../model/operation-list.ts";
import { OWNER_NODE, type OwnerId } from "../../model/owner.ts";
import { printEndpoint, printRange } from "../../model/print.ts";
import { type AddressRange, readPort, readRange, readSlot } from "../../model/table-keys.ts";
import { type TableName, tableFamily, tableKind } from "../../model/tables.ts";
import { ADDRESS_BYTES, type Cidr, type Family } from "../../net/address.ts";
import { prefixLength } from "../../net/cidr.ts";
import { PROTOCOLS } from "../../net/protocol.ts";
import type { RulesetOptions } from "./fixed-chains.ts";
import type { Describe } from "./port-description.ts";
import { TransactionalMap } from "./transactional-map.ts";

/** An address and port, or a node port, with all elements of the tables that concern it. */
export interface FrontendElements {
  readonly key: FrontendKey;
  owner: OwnerId;
  /** @see PortDescription. A placeholder while the Service is unknown. */
  name: string;
  internalLocal: boolean;
  /** The action for all sources; undefined if there are no endpoints to choose from. */
  everyone: Action | undefined;
  /** The action for outside sources (not local pods, not this node), if it differs. */
  outside: Action | undefined;
  /** The verdict on connections that were not translated. */
  unserved: "drop" | "reject" | undefined;
  /** Session affinity timeout in seconds; 0 if there is none. */
  affinitySeconds: number;
  hasSourceRanges: boolean;
  /** Allowed source ranges in the format of the tools. */
  sourceRanges: string[];
  /** Endpoints by slot, as `address:port`. */
  endpoints: (string | undefined)[];
  localEndpoints: (string | undefined)[];
}

/** The property of a frontend that a table's elements set. */
type FrontendProperty = Exclude<keyof FrontendElements, "key" | "owner" | "name" | "internalLocal">;

const FIELDS: { readonly [name in TableName]?: FrontendProperty } = {
  frontends: "everyone",
  nodeports: "everyone",
  outside: "outside",
  "nodeports-outside": "outside",
  "no-endpoints": "unserved",
  "nodeports-no-endpoints": "unserved",
  learn: "affinitySeconds",
  "nodeports-learn": "affinitySeconds",
  restricted: "hasSourceRanges",
  "allowed-sources": "sourceRanges",
  endpoints: "endpoints",
  "nodeport-endpoints": "endpoints",
  "local-endpoints": "localEndpoints",
  "nodeport-local-endpoints": "localEndpoints",
};

/** The tables of one family. */
export class FrontendModel {
  readonly #family: Family;
  /** The kernel supports SCTP. If not, SCTP frontends are ignored. */
  readonly #sctp: boolean;
  readonly frontends = new TransactionalMap<FrontendKey, FrontendElements>();
  readonly clusterIps = new TransactionalMap<FrontendKey, true>();
  /** Ranges that serve node ports, by their text. */
  readonly nodePortRanges = new TransactionalMap<string, Cidr>();
  /** healthCheckNodePorts and their owners. */
  readonly healthPorts = new TransactionalMap<number, OwnerId>();

  constructor(family: Family, { sctp }: Pick<RulesetOptions, "sctp">) {
    this.#family = family;
    this.#sctp = sctp;
  }

  /**
   * Applies operations, deletions first. When an element moves between Services, the addition for
   * one may precede the deletion for the other.
   */
  apply(operations: Iterable<Operation>): void {
    const added: Operation[] = [];
    for (const operation of operations) {
      if (tableFamily(operation.table) !== this.#family) continue;
      if (operation.kind === "add") added.push(operation);
      else this.#apply(operation);
    }
    for (const operation of added) this.#apply(operation);
  }

  commit(): void {
    for (const part of this.#parts()) part.commit();
  }

  rollback(): void {
    for (const part of this.#parts()) part.rollback();
  }

  /** Looks up the Service ports of these frontends again. */
  describe(keys: Iterable<FrontendKey>, describe: Describe): void {
    for (const key of keys) {
      const frontend = this.frontends.get(key);
      if (frontend === undefined) continue;
      const port = describe(frontend.owner, protocolOf(key), portOf(key), isNodePort(key));
      const name = port?.name ?? nameless(key);
      const internalLocal = port?.internalLocal ?? false;
      if (name === frontend.name && internalLocal === frontend.internalLocal) continue;
      const edited = this.#edit(key);
      edited.name = name;
      edited.internalLocal = internalLocal;
    }
  }

  #parts(): readonly Pick<TransactionalMap<FrontendKey, unknown>, "commit" | "rollback">[] {
    return [this.frontends, this.clusterIps, this.nodePortRanges, this.healthPorts];
  }

  #apply(operation: Operation): void {
    const { kind, table, owner, key } = operation;
    const { name } = tableKind(table);
    const field = FIELDS[name];
    if (field !== undefined) {
      const frontend = readFrontendKey(table, key);
      if (frontend === undefined) return;
      if (!this.#sctp && protocolOf(frontend) === PROTOCOLS.SCTP) return;
      if (kind === "add") this.#add(this.#edit(frontend), field, operation);
      else this.#remove(frontend, field, operation);
      return;
    }
    if (name === "health-check-ports") {
      const port = readPort(table, key);
      if (kind === "add") this.healthPorts.set(port, owner);
      else this.healthPorts.delete(port);
      return;
    }
    if (name === "node-port-ranges") {
      const range = readRange(table, key);
      if (kind === "add") this.nodePortRanges.set(printRange(range), cidrBetween(range));
      else this.nodePortRanges.delete(printRange(range));
      return;
    }
    const addresses = name === "cluster-ips" ? this.clusterIps : undefined;
    if (kind === "add") addresses?.set(readAddressKey(table, key), true);
    else addresses?.delete(readAddressKey(table, key));
  }

  #add(
    frontend: FrontendElements,
    field: FrontendProperty,
    { owner, table, key, value }: Operation,
  ): void {
    frontend.owner = owner;
    switch (field) {
      case "everyone":
      case "outside":
        frontend[field] = readAction(value);
        return;
      case "unserved":
        frontend.unserved = readAction(value).verb === "reject" ? "reject" : "drop";
        return;
      case "affinitySeconds": {
        const action = readAction(value);
        frontend.affinitySeconds = action.verb === "learn" ? action.seconds : 0;
        return;
      }
      case "hasSourceRanges":
        frontend.hasSourceRanges = true;
        return;
      case "sourceRanges":
        frontend.sourceRanges.push(printRange(readRange(table, key)));
        return;
      case "endpoints":
      case "localEndpoints":
        frontend[field][readSlot(table, key)] = printEndpoint(value);
    }
  }

  #remove(frontendKey: FrontendKey, field: FrontendProperty, { table, key }: Operation): void {
    if (!this.frontends.has(frontendKey)) return;
    const frontend = this.#edit(frontendKey);
    switch (field) {
      case "everyone":
      case "outside":
      case "unserved":
        frontend[field] = undefined;
        return;
      case "affinitySeconds":
        frontend.affinitySeconds = 0;
        return;
      case "hasSourceRanges":
        frontend.hasSourceRanges = false;
        return;
      case "sourceRanges": {
        const range = printRange(readRange(table, key));
        frontend.sourceRanges = frontend.sourceRanges.filter((one) => one !== range);
        return;
      }
      case "endpoints":
      case "localEndpoints": {
        const slots = frontend[field];
        slots[readSlot(table, key)] = undefined;
        while (slots.length > 0 && slots.at(-1) === undefined) slots.pop();
      }
    }
  }

  /** A frontend for modification. The committed object stays unchanged, for a rollback. */
  #edit(key: FrontendKey): FrontendElements {
    const before = this.frontends.get(key);
    const isCopy = before !== undefined && this.frontends.isStaged(key);
    const frontend = isCopy ? before : before === undefined ? newFrontend(key) : copyOf(before);
    this.frontends.set(key, frontend);
    return frontend;
  }

  /** Removes each of these frontends that has no elements left. */
  prune(keys: Iterable<FrontendKey>): void {
    for (const key of keys) {
      const frontend = this.frontends.get(key);
      if (frontend !== undefined && isEmpty(frontend)) this.frontends.delete(key);
    }
  }
}

/** Every range in the tables has a prefix. */
function cidrBetween({ first, last }: AddressRange): Cidr {
  const family = first.length === ADDRESS_BYTES[4] ? 4 : 6;
  return { family, bytes: first.slice(), prefix: prefixLength(first, last) as number };
}

function newFrontend(key: FrontendKey): FrontendElements {
  return {
    key,
    owner: OWNER_NODE,
    name: "",
    internalLocal: false,
    everyone: undefined,
    outside: undefined,
    unserved: undefined,
    affinitySeconds: 0,
    hasSourceRanges: false,
    sourceRanges: [],
    endpoints: [],
    localEndpoints: [],
  };
}

function copyOf(frontend: FrontendElements): FrontendElements {
  const { sourceRanges, endpoints, localEndpoints } = frontend;
  return {
    ...frontend,
    sourceRanges: [...sourceRanges],
    endpoints: [...endpoints],
    localEndpoints: [...localEndpoints],
  };
}

function isEmpty(frontend: FrontendElements): boolean {
  return (
    frontend.everyone === undefined &&
    frontend.outside === undefined &&
    frontend.unserved === undefined &&
    frontend.affinitySeconds === 0 &&
    !frontend.hasSourceRanges &&
    frontend.sourceRanges.length === 0 &&
    frontend.endpoints.length === 0 &&
    frontend.localEndpoints.length === 0
  );
}

/**
 * A placeholder name. It differs from all names of Service ports, which have a slash before any
 * colon.
 */
function nameless(key: FrontendKey): string {
  return isNodePort(key) ? `node port ${portOf(key)}` : `${addressText(key)} ${portOf(key)}`;
}
