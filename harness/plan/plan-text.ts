/** Builds Services, endpoints and nodes from short texts, and prints their plan as text. */
import { ENDPOINT4_STRIDE, ENDPOINT6_STRIDE } from "../../asm/layout/choice.ts";
import type { EndpointSelection, EndpointSpan } from "../../src/model/choice.ts";
import { OWNER_NODE } from "../../src/model/owner.ts";
import type { Service, ServiceId } from "../../src/model/service.ts";
import {
  type Address,
  type Cidr,
  type Family,
  parseAddress,
  parseCidr,
} from "../../src/net/address.ts";
import { PROTOCOLS, type ProtocolName } from "../../src/net/protocol.ts";
import { AffinityMaps, type CommittedElements } from "../../src/plan/affinity-maps.ts";
import { DesiredWriter } from "../../src/plan/desired.ts";
import { type PlanContext, planNode, planService } from "../../src/plan/plan.ts";
import { FrontendClaims } from "../../src/state/claims.ts";
import { expandService } from "../../src/state/frontends.ts";
import { printDesired } from "./print-elements.ts";

export function parseIp(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`no address: ${text}`);
  return address;
}

export function parseRange(text: string): Cidr {
  const range = parseCidr(text);
  if (range === undefined) throw new Error(`no range: ${text}`);
  return range;
}

/**
 * A Service as tests write it. `ports`: "http tcp 80" or "http tcp 80 30080"; the name `-` is "".
 */
export interface ServiceText {
  readonly id?: number;
  readonly name?: string;
  readonly created?: number;
  readonly type?: Service["type"];
  readonly ports?: readonly string[];
  readonly clusterIPs?: readonly string[];
  readonly externalIPs?: readonly string[];
  readonly vips?: readonly string[];
  readonly sourceRanges?: readonly string[];
  readonly eTP?: "Local" | "Cluster";
  readonly iTP?: "Local" | "Cluster";
  readonly affinity?: number;
  readonly healthCheckNodePort?: number;
}

export function buildService(text: ServiceText): Service {
  const [namespace, name] = (text.name ?? "default/web").split("/");
  return {
    id: (text.id ?? 1) as ServiceId,
    namespace: namespace ?? "",
    name: name ?? "",
    created: text.created ?? 1000,
    type: text.type ?? "ClusterIP",
    ports: (text.ports ?? ["http tcp 80"]).map((port) => {
      const [portName, protocol, number, nodePort] = port.split(" ");
      return {
        name: portName === "-" ? "" : (portName ?? ""),
        protocol: PROTOCOLS[protocol?.toUpperCase() as ProtocolName],
        port: Number(number),
        nodePort: Number(nodePort ?? 0),
      };
    }),
    clusterIPs: (text.clusterIPs ?? ["10.96.0.1"]).map(parseIp),
    externalIPs: (text.externalIPs ?? []).map(parseIp),
    vips: (text.vips ?? []).map(parseIp),
    sourceRanges: (text.sourceRanges ?? []).map(parseRange),
    externalLocal: text.eTP === "Local",
    internalLocal: text.iTP === "Local",
    affinitySeconds: text.affinity ?? 0,
    healthCheckNodePort: text.healthCheckNodePort ?? 0,
  };
}

/** The result of selection, with endpoints as text: "10.1.0.5:8080", "[fd00::5]:8080". */
export interface ChoiceText {
  readonly cluster?: readonly string[];
  readonly local?: readonly string[];
  /** Whether usable endpoints exist; by default, whether `cluster` or `local` has one. */
  readonly usable?: boolean;
}

/** Endpoints in memory in the core's format, for spans to point into. */
export class Memory {
  bytes = new Uint8Array(64);
  #used = 8;

  span(family: Family, endpoints: readonly string[]): EndpointSpan {
    const stride = family === 4 ? ENDPOINT4_STRIDE : ENDPOINT6_STRIDE;
    const pointer = this.#used;
    this.#used += stride * endpoints.length;
    if (this.#used > this.bytes.length) {
      const grown = new Uint8Array(this.#used * 2);
      grown.set(this.bytes);
      this.bytes = grown;
    }
    endpoints.forEach((text, i) => {
      const { address, port } = endpoint(text);
      const at = pointer + i * stride;
      this.bytes.set(address.bytes, at);
      this.bytes[at + address.bytes.length] = port >> 8;
      this.bytes[at + address.bytes.length + 1] = port & 0xff;
    });
    return { pointer, count: endpoints.length };
  }

  /** A Choice for every port and family of the Service: the endpoints of that family. */
  choices(of: Service, text: ChoiceText | readonly ChoiceText[]): EndpointSelection[] {
    return of.ports.flatMap((_, portIndex) =>
      of.clusterIPs.map(({ family }) => {
        const one = (Array.isArray(text) ? text[portIndex] : text) as ChoiceText;
        const mine = (list: readonly string[] = []) =>
          list.filter((entry) => endpoint(entry).address.family === family);
        const cluster = this.span(family, mine(one.cluster));
        const local = this.span(family, mine(one.local));
        const usable = one.usable ?? cluster.count + local.count > 0;
        return { portIndex, family, cluster, local, usable };
      }),
    );
  }
}

function endpoint(text: string): { address: Address; port: number } {
  const colon = text.lastIndexOf(":");
  const address = parseIp(text.slice(0, colon).replace(/^\[|\]$/g, ""));
  return { address, port: Number(text.slice(colon + 1)) };
}

export interface NodeText {
  readonly primary?: readonly string[];
  readonly nodePortRanges?: readonly string[];
  readonly serviceCidrs?: readonly string[];
  readonly opensHealthCheckPorts?: boolean;
}

/** No committed elements. */
const NOTHING_COMMITTED: CommittedElements = {
  committedValue: () => undefined,
  eachElement: () => {},
};

export function buildContext(claims: FrontendClaims, node: NodeText = {}): PlanContext {
  const addresses = (list: readonly string[] = []) => list.map(parseIp);
  return {
    primary: Object.fromEntries(addresses(node.primary).map((one) => [one.family, one])),
    claims,
    serviceCidrs: (node.serviceCidrs ?? []).map(parseRange),
    nodePortRanges: (node.nodePortRanges ?? []).map(parseRange),
    opensHealthCheckPorts: node.opensHealthCheckPorts ?? false,
    affinityMaps: new AffinityMaps(NOTHING_COMMITTED),
  };
}

/** Claims of these Services, and of others, which are named by their ids. */
export function claimsOf(services: readonly Service[]): FrontendClaims {
  const names = new Map(services.map(({ id, namespace, name }) => [id, `${namespace}/${name}`]));
  const claims = new FrontendClaims((id) => names.get(id) ?? `ns/s${id}`);
  for (const one of services) claims.update(expandService(one));
  return claims;
}

/** A writer over plain memory. */
export function plainWriter(): DesiredWriter {
  let region = new Uint8Array(0);
  return new DesiredWriter((bytes) => {
    if (region.length < bytes) region = new Uint8Array(bytes);
    return region;
  });
}

/** The plan of these Services and of the node: one line for each element. */
export function planText(
  services: readonly { service: Service; endpoints: ChoiceText | readonly ChoiceText[] }[],
  node: NodeText = {},
): string[] {
  const memory = new Memory();
  const claims = claimsOf(services.map((entry) => entry.service));
  const plan = buildContext(claims, node);
  const writer = plainWriter();
  planNode(plan, writer);
  for (const entry of services) {
    planService(
      expandService(entry.service),
      memory.choices(entry.service, entry.endpoints),
      plan,
      writer,
    );
  }
  const names = new Map(services.map(({ service: one }) => [one.id as number, one]));
  return printDesired(writer.region(), writer.bytes, memory.bytes, (owner) => {
    const named = names.get(owner);
    return owner === OWNER_NODE ? "node" : `${named?.namespace}/${named?.name}`;
  });
}

/** The lines of an indented literal, in the same order as `planText`. */
export function lines(literal: string): string[] {
  return literal
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .sort();
}
