/** One Service as it is in the kernel, read back from the committed elements: what an operator asks for. */
import type { Capabilities } from "../backend/capabilities.ts";
import type { ChainReader } from "../backend/parts.ts";
import type { Core } from "../core/core.ts";
import { type ActionCode, decodeAction, printAction } from "../model/actions.ts";
import { printEndpoint, printKey } from "../model/print.ts";
import type { ServiceId } from "../model/service.ts";
import {
  TABLE_IDS,
  type TableId,
  type TableName,
  tableFamily,
  tableKind,
} from "../model/tables.ts";
import type { Problem } from "../problems/problem.ts";
import type { FrontendView, ServiceView } from "./view.ts";

/** What the backend knows about an element. */
interface Dataplane {
  readonly capabilities: Pick<Capabilities, "unserved">;
  readonly chains: Pick<ChainReader, "locate"> | undefined;
}
type CommittedCore = Pick<Core, "findService" | "readService" | "eachElement">;

interface Frontend {
  readonly frontend: string;
  readonly protocol: string;
  readonly family: 4 | 6;
  readonly nodePort: boolean;
  readonly actions: { [table in TableName]?: string };
  /** By slot. */
  readonly endpoints: Map<number, string>;
  readonly localEndpoints: Map<number, string>;
  readonly allowed: string[];
  chains: readonly string[];
  guarded: boolean;
}

/**
 * Undefined when nothing of this Service is known. Walks all committed elements: some milliseconds for
 * 100,000 of them, and no index to keep for it.
 */
export function describeService(
  core: CommittedCore,
  namespace: string,
  name: string,
  problems: readonly Problem[],
  backend: Dataplane,
): ServiceView | undefined {
  const id = core.findService(`${namespace}/${name}`);
  if (id === undefined) return undefined;
  const service = core.readService(id);
  const frontends = new Map<string, Frontend>();
  for (const table of TABLE_IDS) {
    if (tableKind(table).key.length < 2 || tableKind(table).name === "hairpin") continue;
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
      .map(([, frontend]) => finished(frontend, backend)),
    problems: problems.filter(({ subject }) => subject === `Service ${own}`),
  };
}

function addElements(
  { core, backend }: { readonly core: CommittedCore; readonly backend: Dataplane },
  table: TableId,
  id: ServiceId,
  frontends: Map<string, Frontend>,
): void {
  const { name, value: holds } = tableKind(table);
  const family = tableFamily(table);
  core.eachElement(table, (key, value, owner) => {
    if (owner !== id) return;
    const words = printKey(table, key).split(" ");
    const frontend = frontendOf(frontends, family, words, name.startsWith("nodeport"));
    const last = words.at(-1) ?? "";
    frontend.chains = backend.chains?.locate(table, key) ?? [];
    if (holds === "action") {
      const code = new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true);
      frontend.actions[name] = printAction(decodeAction(code as ActionCode));
    } else if (holds === "endpoint") {
      const slots = name.includes("local") ? frontend.localEndpoints : frontend.endpoints;
      slots.set(Number(last), printEndpoint(value));
    } else {
      frontend.guarded = true;
      if (name === "allowed") frontend.allowed.push(last);
    }
  });
}

/** `words` are those of printKey: the address unless it is a node port, protocol, port, and more. */
function frontendOf(
  frontends: Map<string, Frontend>,
  family: 4 | 6,
  words: readonly string[],
  nodePort: boolean,
): Frontend {
  const [address, protocol = "", port = ""] = nodePort ? ["", ...words] : words;
  const key = `${nodePort ? 1 : 0} ${family} ${address} ${protocol} ${port.padStart(5, "0")}`;
  const known = frontends.get(key);
  if (known) return known;
  const frontend: Frontend = {
    frontend: nodePort ? port : family === 4 ? `${address}:${port}` : `[${address}]:${port}`,
    protocol: protocol.toUpperCase(),
    family,
    nodePort,
    actions: {},
    endpoints: new Map(),
    localEndpoints: new Map(),
    allowed: [],
    chains: [],
    guarded: false,
  };
  frontends.set(key, frontend);
  return frontend;
}

function finished(
  { guarded, allowed, chains, ...frontend }: Frontend,
  { capabilities: { unserved } }: Dataplane,
): FrontendView {
  const cannot = unserved.find(({ family }) => family === frontend.family);
  return {
    ...frontend,
    endpoints: inOrder(frontend.endpoints),
    localEndpoints: inOrder(frontend.localEndpoints),
    ...(chains.length > 0 && { chains }),
    ...(cannot && { unserved: cannot.reason }),
    ...(guarded ? { allowed: allowed.sort() } : {}),
  };
}

function inOrder(slots: ReadonlyMap<number, string>): string[] {
  return [...slots.entries()].sort(([a], [b]) => a - b).map(([, endpoint]) => endpoint);
}

function byKey([a]: readonly [string, Frontend], [b]: readonly [string, Frontend]): number {
  return a < b ? -1 : 1;
}
