/**
 * Specifies which endpoints of a Service receive its traffic, in plain TypeScript. It is the
 * readable specification and the reference for tests (upstream: kube-proxy's CategorizeEndpoints,
 * KEP-1669, KEP-2433, KEP-3015).
 */
import type { Family } from "../../src/net/address.ts";
import type { Protocol } from "../../src/net/protocol.ts";

/** Whether an endpoint's hints name this node (or zone), only others, or none. */
export type Hint = "none" | "this" | "other";

export interface ModelEndpoint {
  /** In network order. */
  readonly address: Uint8Array;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly local: boolean;
  readonly nodes: Hint;
  readonly zones: Hint;
}

export interface ModelSlice {
  readonly family: Family;
  readonly ports: readonly {
    readonly name: string;
    readonly protocol: Protocol;
    readonly port: number;
  }[];
  readonly endpoints: readonly ModelEndpoint[];
}

export interface ModelService {
  readonly ports: readonly { readonly name: string; readonly protocol: Protocol }[];
  readonly slices: readonly ModelSlice[];
}

export interface ModelChoice {
  readonly portIndex: number;
  readonly family: Family;
  /** Address and port in hex, sorted. */
  readonly cluster: readonly string[];
  readonly local: readonly string[];
  readonly usable: boolean;
}

/**
 * Choices by port, then by family 4 and 6; and the distinct Ready local addresses of the family
 * that has more of them.
 */
export function choose(service: ModelService): { choices: ModelChoice[]; localReady: number } {
  const choices: ModelChoice[] = [];
  const localAddresses = { 4: new Set<string>(), 6: new Set<string>() };
  for (const [portIndex, port] of service.ports.entries())
    for (const family of [4, 6] as const) {
      const candidates = merge(
        service.slices
          .filter((slice) => slice.family === family)
          .flatMap((slice) =>
            slice.ports
              .filter(({ name, protocol }) => name === port.name && protocol === port.protocol)
              .flatMap((match) =>
                slice.endpoints.map((endpoint) => ({ ...endpoint, port: match.port })),
              ),
          ),
      );
      choices.push({ portIndex, family, ...chooseByReadiness(candidates) });
      for (const { ready, local, address } of candidates)
        if (ready && local) localAddresses[family].add(address.toHex());
    }
  return { choices, localReady: Math.max(localAddresses[4].size, localAddresses[6].size) };
}

type Candidate = ModelEndpoint & { readonly port: number };

function chooseByReadiness(
  candidates: readonly Candidate[],
): Pick<ModelChoice, "cluster" | "local" | "usable"> {
  const ready = candidates.filter((endpoint) => endpoint.ready);
  const leaving = candidates.filter(
    ({ ready, serving, terminating }) => !ready && serving && terminating,
  );
  const localReady = ready.filter(({ local }) => local);
  const localLeaving = leaving.filter(({ local }) => local);
  return {
    cluster: names(ready.length > 0 ? near(ready) : leaving),
    local: names(localReady.length > 0 ? localReady : localLeaving),
    usable: ready.length + leaving.length > 0,
  };
}

/** Hints count only if every Ready endpoint has one, and at least one names this node or zone. */
function near(ready: readonly Candidate[]): readonly Candidate[] {
  for (const kind of ["nodes", "zones"] as const) {
    const here = ready.filter((endpoint) => endpoint[kind] === "this");
    if (here.length > 0 && ready.every((endpoint) => endpoint[kind] !== "none")) return here;
  }
  return ready;
}

/**
 * Of several copies of an address and port, the one with the best conditions; hints decide last.
 */
function merge(candidates: readonly Candidate[]): Candidate[] {
  const best = new Map<string, Candidate>();
  for (const candidate of candidates) {
    const present = best.get(nameOf(candidate));
    if (!present || compareLife(candidate, present) > 0) best.set(nameOf(candidate), candidate);
  }
  return [...best.values()];
}

function compareLife(a: Candidate, b: Candidate): number {
  for (const trait of [
    (endpoint: Candidate) => !endpoint.terminating,
    (endpoint: Candidate) => endpoint.ready,
    (endpoint: Candidate) => endpoint.serving,
    (endpoint: Candidate) => endpoint.local,
    (endpoint: Candidate) => endpoint.nodes === "this",
    (endpoint: Candidate) => endpoint.nodes !== "none",
    (endpoint: Candidate) => endpoint.zones === "this",
    (endpoint: Candidate) => endpoint.zones !== "none",
  ]) {
    const difference = Number(trait(a)) - Number(trait(b));
    if (difference !== 0) return difference;
  }
  return 0;
}

function names(endpoints: readonly Candidate[]): string[] {
  return endpoints.map(nameOf).sort();
}

function nameOf({ address, port }: Candidate): string {
  return address.toHex() + port.toString(16).padStart(4, "0");
}
