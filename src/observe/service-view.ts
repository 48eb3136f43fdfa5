/** Describes one Service for the admin API, from the committed elements. */
import type { Capabilities } from "../backend/capabilities.ts";
import type { ChainReader } from "../backend/parts.ts";
import type { Core } from "../core/core.ts";
import { printAction, readAction } from "../model/actions.ts";
import { printEndpoint, printRange } from "../model/print.ts";
import type { ServiceId } from "../model/service.ts";
import {
  isNodePortTable,
  readAddress,
  readPort,
  readProtocol,
  readRange,
  readSlot,
} from "../model/table-keys.ts";
import {
  TABLE_IDS,
  type TableId,
  type TableName,
  tableFamily,
  tableKind,
} from "../model/tables.ts";
import { printAddress } from "../net/address.ts";
import { printProtocol } from "../net/protocol.ts";
import type { Problem } from "../problems/problem.ts";
import type { FrontendView, ServiceView } from "./view.ts";

/** The backend's knowledge about elements. */
interface BackendView {
  readonly capabilities: Pick<Capabilities, "unserved">;
  readonly chains: Pick<ChainReader, "locate"> | undefined;
}
type CommittedCore = Pick<Core, "findService" | "readService" | "eachElement">;

interface FrontendDraft {
  readonly frontend: string;
  readonly protocol: string;
  readonly family: 4 | 6;
  readonly nodePort: boolean;
  readonly actions: { [table in TableName]?: string };
  /** Keyed by slot. */
  readonly endpoints: Map<number, string>;
  readonly localEndpoints: Map<number, string>;
  readonly allowed: string[];
  chains: readonly string[];
  hasSourceRanges: boolean;
}

/**
 * Returns undefined for an unknown Service. Walks all committed elements: a few milliseconds for
 * 100,000 of them, without an index to maintain.
 */
export function describeService(
  core: CommittedCore,
  namespace: string,
  name: string,
  problems: readonly Problem[],
  backend: BackendView,
): ServiceView | undefined {
  const id = core.findService(`${namespace}/${name}`);
  if (id === undefined) return undefined;
  const service = core.readService(id);
  const frontends = new Map<string, FrontendDraft>();
  for (const table of TABLE_IDS) {
    const { name: kind, key } = tableKind(table);
    // Numbers only repeat the endpoints of the slots.
    if (key.length < 2 || kind.includes("number")) continue;
    addElements({ core, backend }, table, id, frontends);
  }
  const own = `${namespace}/${name}`;
  return {
    namespace,
    name,
    exists: service !== undefined,
    type: service?.type ?? "",
    frontends: [...frontends.entries()]
      .sort(byKey)
      .map(([, frontend]) => toView(frontend, backend)),
    problems: problems.filter(({ subject }) => subject === `Service ${own}`),
  };
}

function addElements(
  { core, backend }: { readonly core: CommittedCore; readonly backend: BackendView },
  table: TableId,
  id: ServiceId,
  frontends: Map<string, FrontendDraft>,
): void {
  const { name, value: kind } = tableKind(table);
  core.eachElement(table, (key, value, owner) => {
    if (owner !== id) return;
    const frontend = frontendOf(frontends, table, key);
    frontend.chains = backend.chains?.locate(table, key) ?? [];
    if (kind === "action") {
      frontend.actions[name] = printAction(readAction(value));
    } else if (kind === "endpoint") {
      const slots = name.includes("local") ? frontend.localEndpoints : frontend.endpoints;
      slots.set(readSlot(table, key), printEndpoint(value));
    } else {
      frontend.hasSourceRanges = true;
      if (name === "allowed-sources") frontend.allowed.push(printRange(readRange(table, key)));
    }
  });
}

/** Returns the frontend or node port at the start of an element's key. */
function frontendOf(
  frontends: Map<string, FrontendDraft>,
  table: TableId,
  bytes: Uint8Array,
): FrontendDraft {
  const family = tableFamily(table);
  const nodePort = isNodePortTable(table);
  const address = nodePort ? "" : printAddress(readAddress(table, bytes));
  const protocol = printProtocol(readProtocol(table, bytes));
  const port = String(readPort(table, bytes));
  const key = `${nodePort ? 1 : 0} ${family} ${address} ${protocol} ${port.padStart(5, "0")}`;
  const known = frontends.get(key);
  if (known) return known;
  const frontend: FrontendDraft = {
    frontend: nodePort ? port : family === 4 ? `${address}:${port}` : `[${address}]:${port}`,
    protocol: protocol.toUpperCase(),
    family,
    nodePort,
    actions: {},
    endpoints: new Map(),
    localEndpoints: new Map(),
    allowed: [],
    chains: [],
    hasSourceRanges: false,
  };
  frontends.set(key, frontend);
  return frontend;
}

function toView(
  { hasSourceRanges, allowed, chains, ...frontend }: FrontendDraft,
  { capabilities: { unserved } }: BackendView,
): FrontendView {
  const cannot = unserved.find(({ family }) => family === frontend.family);
  return {
    ...frontend,
    endpoints: inOrder(frontend.endpoints),
    localEndpoints: inOrder(frontend.localEndpoints),
    ...(chains.length > 0 && { chains }),
    ...(cannot && { unserved: cannot.reason }),
    ...(hasSourceRanges ? { allowed: allowed.sort() } : {}),
  };
}

function inOrder(slots: ReadonlyMap<number, string>): string[] {
  return [...slots.entries()].sort(([a], [b]) => a - b).map(([, endpoint]) => endpoint);
}

function byKey(
  [a]: readonly [string, FrontendDraft],
  [b]: readonly [string, FrontendDraft],
): number {
  return a < b ? -1 : 1;
}
