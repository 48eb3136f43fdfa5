/** What the tables say, put together by frontend: the model that chains are made of. Pure. */

import { ENDPOINT4_STRIDE } from "../../../asm/layout/choice.ts";
import { type Action, type ActionCode, decodeAction } from "../../model/actions.ts";
import type { Operation } from "../../model/operation-list.ts";
import { OWNER_NODE, type OwnerId } from "../../model/owner.ts";
import { printEndpoint } from "../../model/print.ts";
import { type TableId, type TableName, tableFamily, tableKind } from "../../model/tables.ts";
import { type Family, printAddress } from "../../net/address.ts";
import { prefixOf } from "../../net/cidr.ts";
import type { RulesetOptions } from "./fixed-chains.ts";
import { Journaled } from "./journaled.ts";
import {
  addressKey,
  addressText,
  frontendKey,
  isNodePort,
  type Key,
  nodePortKey,
  portOf,
  protocolNumber,
  protocolOf,
} from "./keys.ts";
import type { Describe } from "./port-description.ts";

/** An address and port, or a node port, with everything that the tables have of it. */
export interface Frontend {
  readonly key: Key;
  owner: OwnerId;
  /** @see PortDescription; something of its own while nothing is known of its Service. */
  name: string;
  internalLocal: boolean;
  /** How to choose; undefined: there is nobody to choose from. */
  everyone: Action | undefined;
  /** The same for sources outside the cluster, where that is another way. */
  outside: Action | undefined;
  /** What becomes of a connection that was not translated. */
  unserved: "drop" | "reject" | undefined;
  /** How long a client is remembered. */
  seconds: number;
  guarded: boolean;
  /** As the tools write them. */
  allowed: string[];
  /** Endpoints by slot, as `address:port`. */
  endpoints: (string | undefined)[];
  localEndpoints: (string | undefined)[];
}

/** What a table's elements are to a frontend. */
type Field = Exclude<keyof Frontend, "key" | "owner" | "name" | "internalLocal">;

const FIELDS: { readonly [name in TableName]?: Field } = {
  frontends: "everyone",
  nodeports: "everyone",
  outside: "outside",
  "nodeports-outside": "outside",
  "no-endpoints": "unserved",
  "nodeports-no-endpoints": "unserved",
  learn: "seconds",
  "nodeports-learn": "seconds",
  guarded: "guarded",
  allowed: "allowed",
  endpoints: "endpoints",
  "nodeport-endpoints": "endpoints",
  "local-endpoints": "localEndpoints",
  "nodeport-local-endpoints": "localEndpoints",
};

/** The tables of one family. */
export class Model {
  readonly #family: Family;
  /** Without, its frontends are not there. */
  readonly #sctp: boolean;
  readonly frontends = new Journaled<Key, Frontend>();
  readonly clusterIps = new Journaled<Key, true>();
  /** Addresses that serve node ports. */
  readonly nodeAddresses = new Journaled<Key, true>();
  /** Addresses of this node's endpoints. */
  readonly hairpins = new Journaled<Key, true>();
  /** healthCheckNodePorts, and whose they are. */
  readonly healthPorts = new Journaled<number, OwnerId>();

  constructor(family: Family, { sctp }: Pick<RulesetOptions, "sctp">) {
    this.#family = family;
    this.#sctp = sctp;
  }

  /**
   * First what is deleted: what passes from one Service to another is deleted for the one and added
   * for the other, in any order.
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

  /** Asks anew what these frontends belong to. */
  describe(keys: Iterable<Key>, describe: Describe): void {
    for (const key of keys) {
      const frontend = this.frontends.get(key);
      if (frontend === undefined) continue;
      const protocol = protocolNumber(protocolOf(key));
      const port = describe(frontend.owner, protocol, portOf(key), isNodePort(key));
      const name = port?.name ?? nameless(key);
      const internalLocal = port?.internalLocal ?? false;
      if (name === frontend.name && internalLocal === frontend.internalLocal) continue;
      const edited = this.#edit(key);
      edited.name = name;
      edited.internalLocal = internalLocal;
    }
  }

  #parts(): readonly Pick<Journaled<Key, unknown>, "commit" | "rollback">[] {
    return [this.frontends, this.clusterIps, this.nodeAddresses, this.hairpins, this.healthPorts];
  }

  #apply({ kind, table, owner, key, value }: Operation): void {
    const { name } = tableKind(table);
    const field = FIELDS[name];
    if (field !== undefined) {
      const frontend = isPortTable(table) ? nodePortKey(key) : frontendKey(key, this.#family);
      if (frontend === undefined) return;
      if (!this.#sctp && protocolOf(frontend) === "sctp") return;
      if (kind === "add") this.#add(this.#edit(frontend), owner, field, key, value);
      else this.#remove(frontend, field, key);
      return;
    }
    if (name === "health-check-ports") {
      const port = ((key[0] as number) << 8) | (key[1] as number);
      if (kind === "add") this.healthPorts.set(port, owner);
      else this.healthPorts.delete(port);
      return;
    }
    const addresses =
      name === "cluster-ips"
        ? this.clusterIps
        : name === "node-addresses"
          ? this.nodeAddresses
          : name === "hairpin"
            ? this.hairpins
            : undefined;
    if (kind === "add") addresses?.set(addressKey(key, this.#family), true);
    else addresses?.delete(addressKey(key, this.#family));
  }

  #add(frontend: Frontend, owner: OwnerId, field: Field, key: Uint8Array, value: Uint8Array): void {
    frontend.owner = owner;
    switch (field) {
      case "everyone":
      case "outside":
        frontend[field] = decodeAction(readCode(value));
        return;
      case "unserved":
        frontend.unserved = decodeAction(readCode(value)).verb === "drop" ? "drop" : "reject";
        return;
      case "seconds": {
        const action = decodeAction(readCode(value));
        frontend.seconds = action.verb === "learn" ? action.seconds : 0;
        return;
      }
      case "guarded":
        frontend.guarded = true;
        return;
      case "allowed":
        frontend.allowed.push(readRange(key, this.#family));
        return;
      case "endpoints":
      case "localEndpoints":
        frontend[field][readSlot(key)] = readEndpoint(value);
    }
  }

  #remove(key: Key, field: Field, bytes: Uint8Array): void {
    if (!this.frontends.has(key)) return;
    const frontend = this.#edit(key);
    switch (field) {
      case "everyone":
      case "outside":
      case "unserved":
        frontend[field] = undefined;
        return;
      case "seconds":
        frontend.seconds = 0;
        return;
      case "guarded":
        frontend.guarded = false;
        return;
      case "allowed": {
        const range = readRange(bytes, this.#family);
        frontend.allowed = frontend.allowed.filter((one) => one !== range);
        return;
      }
      case "endpoints":
      case "localEndpoints": {
        const slots = frontend[field];
        slots[readSlot(bytes)] = undefined;
        while (slots.length > 0 && slots.at(-1) === undefined) slots.pop();
      }
    }
  }

  /** The frontend to be changed: what it was stays as it is, for a rollback. */
  #edit(key: Key): Frontend {
    const before = this.frontends.get(key);
    const isCopy = before !== undefined && this.frontends.isStaged(key);
    const frontend = isCopy ? before : before === undefined ? newFrontend(key) : copyOf(before);
    this.frontends.set(key, frontend);
    return frontend;
  }

  /** Forgets the frontends among these of which nothing is left. */
  prune(keys: Iterable<Key>): void {
    for (const key of keys) {
      const frontend = this.frontends.get(key);
      if (frontend !== undefined && isEmpty(frontend)) this.frontends.delete(key);
    }
  }
}

function newFrontend(key: Key): Frontend {
  return {
    key,
    owner: OWNER_NODE,
    name: "",
    internalLocal: false,
    everyone: undefined,
    outside: undefined,
    unserved: undefined,
    seconds: 0,
    guarded: false,
    allowed: [],
    endpoints: [],
    localEndpoints: [],
  };
}

function copyOf(frontend: Frontend): Frontend {
  const { allowed, endpoints, localEndpoints } = frontend;
  return {
    ...frontend,
    allowed: [...allowed],
    endpoints: [...endpoints],
    localEndpoints: [...localEndpoints],
  };
}

function isEmpty(frontend: Frontend): boolean {
  return (
    frontend.everyone === undefined &&
    frontend.outside === undefined &&
    frontend.unserved === undefined &&
    frontend.seconds === 0 &&
    !frontend.guarded &&
    frontend.allowed.length === 0 &&
    frontend.endpoints.length === 0 &&
    frontend.localEndpoints.length === 0
  );
}

/** Differs from every name of a Service's port, which has a slash before any colon. */
function nameless(key: Key): string {
  return isNodePort(key) ? `node port ${portOf(key)}` : `${addressText(key)} ${portOf(key)}`;
}

export function isPortTable(table: TableId): boolean {
  return tableKind(table).key[0] === "protocol";
}

function readCode(value: Uint8Array): ActionCode {
  return readU32Little(value, 0) as ActionCode;
}

/** The slot is the last of a key. */
function readSlot(key: Uint8Array): number {
  return readU32Little(key, key.byteLength - 4);
}

/** `10.1.0.5:8080`, `[fd00::5]:8080`. */
function readEndpoint(value: Uint8Array): string {
  if (value.length !== ENDPOINT4_STRIDE) return printEndpoint(value);
  const port = ((value[4] as number) << 8) | (value[5] as number);
  return `${value[0]}.${value[1]}.${value[2]}.${value[3]}:${port}`;
}

/** Without a DataView for each, of which there would be a hundred thousand at a start. */
function readU32Little(bytes: Uint8Array, at: number): number {
  const byte = (offset: number) => (bytes[at + offset] as number) << (offset * 8);
  return (byte(0) | byte(1) | byte(2) | byte(3)) >>> 0;
}

/** The range is the last of a key: its first address and its last. */
function readRange(key: Uint8Array, family: Family): string {
  const size = family === 4 ? 4 : 16;
  const first = key.subarray(key.byteLength - 2 * size, key.byteLength - size);
  const last = key.subarray(key.byteLength - size);
  // Ranges of Services are always a prefix.
  return `${printAddress(first)}/${prefixOf(first, last) ?? size * 8}`;
}
