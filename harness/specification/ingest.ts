/**
 * Specifies how the core decodes API objects. It is the readable specification of the decoders in
 * asm/ingest/, which are tested against it. Objects are JSON with the right types; addresses are
 * hexadecimal.
 */

export interface ModelPort {
  readonly name: string;
  readonly protocol: number;
  readonly port: number;
  readonly nodePort: number;
}

export interface ModelService {
  readonly created: number;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer";
  readonly ports: readonly ModelPort[];
  readonly clusterIPs: readonly string[];
  readonly externalIPs: readonly string[];
  readonly vips: readonly string[];
  /** hex/prefix */
  readonly sourceRanges: readonly string[];
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
  readonly affinitySeconds: number;
  readonly healthCheckNodePort: number;
}

export interface ModelEndpoint {
  readonly address: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly local: boolean;
  readonly hints: ModelHints;
}

export interface ModelHints {
  readonly zones: boolean;
  readonly thisZone: boolean;
  readonly nodes: boolean;
  readonly thisNode: boolean;
}

export interface ModelSlice {
  /** Key of its Service. */
  readonly service: string;
  readonly family: 4 | 6;
  readonly ports: readonly {
    readonly name: string;
    readonly protocol: number;
    readonly port: number;
  }[];
  readonly endpoints: readonly ModelEndpoint[];
}

/**
 * `absent`: the object is not ours. `refused`: the earlier version stays. Both may come with
 * problems, by field.
 */
export type Decoded<Row> =
  | { readonly outcome: "row"; readonly row: Row; readonly problems: readonly string[] }
  | { readonly outcome: "absent" | "refused"; readonly problems: readonly string[] };

export interface ApiMeta {
  readonly name: string;
  readonly namespace: string;
  readonly resourceVersion?: string;
  readonly uid?: string;
  readonly creationTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ApiService {
  readonly metadata: ApiMeta;
  readonly spec: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly externalIPs?: readonly string[];
    readonly loadBalancerSourceRanges?: readonly string[];
    readonly externalTrafficPolicy?: string;
    readonly internalTrafficPolicy?: string;
    readonly sessionAffinity?: string;
    readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number } };
    readonly healthCheckNodePort?: number;
    readonly ports?: readonly {
      readonly name?: string;
      readonly protocol?: string;
      readonly port?: number;
      readonly nodePort?: number;
    }[];
  };
  readonly status?: {
    readonly loadBalancer?: {
      readonly ingress?: readonly {
        readonly ip?: string;
        readonly hostname?: string;
        readonly ipMode?: string;
      }[];
    };
  };
}

export interface ApiSlice {
  readonly metadata: ApiMeta;
  readonly addressType?: string;
  readonly ports?: readonly {
    readonly name?: string;
    readonly protocol?: string;
    readonly port?: number;
  }[];
  readonly endpoints?: readonly {
    readonly addresses?: readonly string[];
    readonly conditions?: {
      readonly ready?: boolean;
      readonly serving?: boolean;
      readonly terminating?: boolean;
    };
    readonly nodeName?: string;
    readonly hints?: {
      readonly forZones?: readonly { readonly name?: string }[];
      readonly forNodes?: readonly { readonly name?: string }[];
    };
  }[];
}

const PROTOCOLS: Readonly<Record<string, number>> = { "": 6, TCP: 6, UDP: 17, SCTP: 132 };
const TYPES: Readonly<Record<string, ModelService["type"]>> = {
  "": "ClusterIP",
  ClusterIP: "ClusterIP",
  NodePort: "NodePort",
  LoadBalancer: "LoadBalancer",
};

export function modelService(service: ApiService): Decoded<ModelService> {
  const { metadata, spec } = service;
  const problems: string[] = [];
  const policies = readPolicies(spec, problems);
  const type = TYPES[spec.type ?? ""];
  if (type === undefined && spec.type !== "ExternalName") problems.push("spec.type");

  const written = writtenClusterIPs(spec);
  const headless = spec.clusterIP === "None" || written.includes("None") || written.length === 0;
  const foreign = metadata.labels?.["service.kubernetes.io/service-proxy-name"] !== undefined;
  if (spec.type === "ExternalName" || headless || foreign) return { outcome: "absent", problems };
  if (type === undefined) return { outcome: "refused", problems };

  const addresses = readAddresses(service, problems);
  const ports = readPorts(spec.ports ?? [], problems);
  const timeout = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800;
  if (policies.affinity && (timeout < 1 || timeout > 86_400))
    problems.push("spec.sessionAffinityConfig.clientIP.timeoutSeconds");
  const health = spec.healthCheckNodePort ?? 0;
  if (health !== 0 && !isPort(health)) problems.push("spec.healthCheckNodePort");
  return {
    outcome: "row",
    problems: problems.filter((field) => field !== ""),
    row: {
      created: seconds(metadata.creationTimestamp),
      type,
      ports,
      ...addresses,
      externalLocal: policies.externalLocal,
      internalLocal: policies.internalLocal,
      affinitySeconds: policies.affinity ? Math.min(Math.max(timeout, 1), 86_400) : 0,
      healthCheckNodePort: isPort(health) ? health : 0,
    },
  };
}

/** Fields with two values. Any other value is a problem, and counts as the first value. */
function readPolicies(spec: ApiService["spec"], problems: string[]) {
  const known = (
    field: "sessionAffinity" | "externalTrafficPolicy" | "internalTrafficPolicy",
    other: string,
    chosen: string,
  ): boolean => {
    const value = spec[field] ?? "";
    if (!["", other, chosen].includes(value)) problems.push(`spec.${field}`);
    return value === chosen;
  };
  return {
    affinity: known("sessionAffinity", "None", "ClientIP"),
    externalLocal: known("externalTrafficPolicy", "Cluster", "Local"),
    internalLocal: known("internalTrafficPolicy", "Cluster", "Local"),
  };
}

function writtenClusterIPs({ clusterIPs, clusterIP }: ApiService["spec"]): readonly string[] {
  if (clusterIPs?.length) return clusterIPs;
  return clusterIP ? [clusterIP] : [];
}

/** Addresses without duplicates. An invalid one is a problem. */
function readAddresses({ spec, status }: ApiService, problems: string[]) {
  const list = (
    texts: readonly string[],
    field: (index: number) => string,
    parse: typeof parseAddress,
  ) => {
    const found: string[] = [];
    for (const [index, text] of texts.entries()) {
      const parsed = parse(text);
      if (parsed === undefined) problems.push(field(index));
      else if (!found.includes(parsed)) found.push(parsed);
    }
    return found;
  };
  const ingress = (status?.loadBalancer?.ingress ?? []).map(({ ip, ipMode }) =>
    ipMode === undefined || ipMode === "VIP" ? (ip ?? "") : "",
  );
  return {
    clusterIPs: list(writtenClusterIPs(spec), (i) => `spec.clusterIPs[${i}]`, parseAddress),
    externalIPs: list(spec.externalIPs ?? [], (i) => `spec.externalIPs[${i}]`, parseAddress),
    vips: list(
      ingress,
      (i) => (ingress[i] === "" ? "" : `status.loadBalancer.ingress[${i}].ip`),
      parseAddress,
    ),
    sourceRanges: list(
      spec.loadBalancerSourceRanges ?? [],
      (i) => `spec.loadBalancerSourceRanges[${i}]`,
      parseRange,
    ),
  };
}

/** If two ports of one protocol have the same name or number, the later one wins. */
function readPorts(
  written: NonNullable<ApiService["spec"]["ports"]>,
  problems: string[],
): ModelPort[] {
  const ports: ModelPort[] = [];
  for (const [index, port] of written.entries()) {
    const { name = "", protocol: text = "", port: number = 0, nodePort = 0 } = port;
    const protocol = PROTOCOLS[text];
    if (protocol === undefined) problems.push(`spec.ports[${index}].protocol`);
    else if (!isPort(number)) problems.push(`spec.ports[${index}].port`);
    else {
      if (nodePort !== 0 && !isPort(nodePort)) problems.push(`spec.ports[${index}].nodePort`);
      for (let i = 0; i < ports.length; ) {
        const other = ports[i] as ModelPort;
        if (other.protocol === protocol && (other.name === name || other.port === number)) {
          ports.splice(i, 1);
          problems.push(`spec.ports[${index}]`);
        } else i++;
      }
      ports.push({ name, protocol, port: number, nodePort: isPort(nodePort) ? nodePort : 0 });
    }
  }
  return ports;
}

export function modelSlice(slice: ApiSlice, node: string, zone: string): Decoded<ModelSlice> {
  const { metadata, addressType } = slice;
  if (metadata.labels?.["service.kubernetes.io/headless"] !== undefined)
    return { outcome: "absent", problems: [] };
  const family = addressType === "IPv4" ? 4 : addressType === "IPv6" ? 6 : undefined;
  if (family === undefined) {
    return { outcome: "absent", problems: addressType === "FQDN" ? [] : ["addressType"] };
  }
  const service = metadata.labels?.["kubernetes.io/service-name"] ?? "";
  if (service === "")
    return { outcome: "absent", problems: ["metadata.labels[kubernetes.io/service-name]"] };

  const problems: string[] = [];
  const ports: { name: string; protocol: number; port: number }[] = [];
  for (const [index, { name, protocol: text = "", port = 0 }] of (slice.ports ?? []).entries()) {
    if (name === undefined || port === 0) continue;
    const protocol = PROTOCOLS[text];
    if (protocol === undefined) problems.push(`ports[${index}].protocol`);
    else if (!isPort(port)) problems.push(`ports[${index}].port`);
    else ports.push({ name, protocol, port });
  }
  const endpoints: ModelEndpoint[] = [];
  for (const [index, endpoint] of (slice.endpoints ?? []).entries()) {
    const { ready = true, serving = true, terminating = false } = endpoint.conditions ?? {};
    const zones = (endpoint.hints?.forZones ?? []).map(({ name = "" }) => name);
    const nodes = (endpoint.hints?.forNodes ?? []).map(({ name = "" }) => name);
    const address = parseAddress(endpoint.addresses?.[0] ?? "");
    if (address === undefined || (address.length === 8 ? 4 : 6) !== family) {
      problems.push(`endpoints[${index}].addresses[0]`);
      continue;
    }
    endpoints.push({
      address,
      ready,
      serving,
      terminating,
      local: node !== "" && endpoint.nodeName === node,
      hints: {
        zones: zones.length > 0,
        thisZone: zone !== "" && zones.includes(zone),
        nodes: nodes.length > 0,
        thisNode: node !== "" && nodes.includes(node),
      },
    });
  }
  return {
    outcome: "row",
    problems,
    row: { service: `${metadata.namespace}/${service}`, family, ports, endpoints },
  };
}

/** Hex of 4 or 16 bytes, as kube-proxy parses it (Go's ParseIPSloppy); undefined if invalid. */
export function parseAddress(text: string): string | undefined {
  const bytes = text.includes(":") && !/^[^:]*\./.test(text) ? parse6(text) : parse4(text);
  if (bytes === undefined) return undefined;
  const hex = toHex(bytes);
  return hex.startsWith("00000000000000000000ffff") ? hex.slice(24) : hex;
}

/** `hex/prefix` with host bits cleared. */
export function parseRange(text: string): string | undefined {
  const [, address = "", length = ""] = /^[ \t-\r]*(.*?)\/(\d+)[ \t-\r]*$/s.exec(text) ?? [];
  const isSix = address.includes(":") && !/^[^:]*\./.test(address);
  const bytes = isSix ? parse6(address) : parse4(address);
  const prefix = Number(length);
  if (bytes === undefined || length === "" || prefix > bytes.length * 8) return undefined;
  const masked = bytes.map(
    (byte, i) => byte & (0xff00 >> Math.min(Math.max(prefix - i * 8, 0), 8)) & 0xff,
  );
  const hex = toHex(masked);
  return prefix >= 96 && hex.startsWith("00000000000000000000ffff")
    ? `${hex.slice(24)}/${prefix - 96}`
    : `${hex}/${prefix}`;
}

function parse4(text: string): number[] | undefined {
  if (!/^\d+\.\d+\.\d+\.\d+$/.test(text)) return undefined;
  const bytes = text.split(".").map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

function parse6(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const groups = halves.map((half, i) => parseGroups(half, i === halves.length - 1));
  const [head, tail] = groups;
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  if (tail === undefined) return head.length === 16 ? head : undefined;
  const gap = 16 - head.length - tail.length;
  return gap >= 2 ? [...head, ...new Array<number>(gap).fill(0), ...tail] : undefined;
}

/** Parses colon-separated groups to bytes. An IPv4 address may replace the last two groups. */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const bytes: number[] = [];
  for (const [index, part] of parts.entries()) {
    const four = last && index === parts.length - 1 ? parse4(part) : undefined;
    if (four !== undefined) bytes.push(...four);
    else if (/^0*[0-9a-f]{1,4}$/i.test(part)) {
      const group = Number.parseInt(part, 16);
      bytes.push(group >> 8, group & 0xff);
    } else return undefined;
  }
  return bytes;
}

function toHex(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isPort(value: number): boolean {
  return value >= 1 && value <= 65_535;
}

function seconds(time: string | undefined): number {
  return time === undefined
    ? 0
    : Math.min(Math.max(Math.floor(Date.parse(time) / 1000), 0), 0xffff_ffff);
}
