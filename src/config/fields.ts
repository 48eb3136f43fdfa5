/**
 * Every field of upstream's KubeProxyConfiguration v1alpha1 (kube-proxy 1.36), as data: its type, its default
 * and whether it does anything here. A dotted path names a field.
 */

/** How a field's value is written, in the file and by a flag. */
export type FieldType =
  | "string"
  | "boolean"
  | "integer" // int32
  | "number"
  | "duration" // Go's text; milliseconds once read
  | "strings"
  | "gates" // name → boolean
  | "any";

/** A value as it is kept: durations in milliseconds; null only as the default of a list. */
export type FieldValue = string | boolean | number | readonly string[] | object | null;

/** What is known of one field; its meaning is upstream's. */
export interface Field {
  readonly type: FieldType;
  readonly default: FieldValue;
  /** It does something here. The others are accepted, shown by /configz, and said once in the log. */
  readonly effect?: true;
  /** 0 and "" mean "not set", as upstream's defaulting has it. */
  readonly zeroIsUnset?: true;
}

const HOUR = 3_600_000;

/** In the order in which /configz shows them. */
export const FIELDS = {
  featureGates: { type: "gates", default: {} },
  "clientConnection.kubeconfig": { type: "string", default: "", effect: true },
  "clientConnection.acceptContentTypes": { type: "string", default: "" },
  "clientConnection.contentType": {
    type: "string",
    default: "application/vnd.kubernetes.protobuf",
    zeroIsUnset: true,
  },
  "clientConnection.qps": { type: "number", default: 5, zeroIsUnset: true },
  "clientConnection.burst": { type: "integer", default: 10, zeroIsUnset: true },
  "logging.format": { type: "string", default: "text", effect: true, zeroIsUnset: true },
  "logging.flushFrequency": { type: "any", default: "5s", zeroIsUnset: true },
  "logging.verbosity": { type: "integer", default: 0, effect: true },
  "logging.vmodule": { type: "any", default: [] },
  "logging.options.text.splitStream": { type: "boolean", default: false },
  "logging.options.text.infoBufferSize": { type: "any", default: "0" },
  "logging.options.json.splitStream": { type: "boolean", default: false },
  "logging.options.json.infoBufferSize": { type: "any", default: "0" },
  hostnameOverride: { type: "string", default: "", effect: true },
  bindAddress: { type: "string", default: "0.0.0.0", effect: true, zeroIsUnset: true },
  healthzBindAddress: { type: "string", default: "", effect: true, zeroIsUnset: true },
  metricsBindAddress: { type: "string", default: "", effect: true, zeroIsUnset: true },
  bindAddressHardFail: { type: "boolean", default: false, effect: true },
  enableProfiling: { type: "boolean", default: false },
  showHiddenMetricsForVersion: { type: "string", default: "" },
  mode: { type: "string", default: "", effect: true },
  "iptables.masqueradeBit": { type: "integer", default: 14, effect: true },
  "iptables.masqueradeAll": { type: "boolean", default: false, effect: true },
  "iptables.localhostNodePorts": { type: "boolean", default: true },
  "iptables.syncPeriod": { type: "duration", default: 30_000, effect: true, zeroIsUnset: true },
  "iptables.minSyncPeriod": { type: "duration", default: 1000, effect: true, zeroIsUnset: true },
  "ipvs.syncPeriod": { type: "duration", default: 30_000, effect: true, zeroIsUnset: true },
  "ipvs.minSyncPeriod": { type: "duration", default: 0, effect: true },
  "ipvs.scheduler": { type: "string", default: "" },
  "ipvs.excludeCIDRs": { type: "strings", default: null },
  "ipvs.strictARP": { type: "boolean", default: false },
  "ipvs.tcpTimeout": { type: "duration", default: 0 },
  "ipvs.tcpFinTimeout": { type: "duration", default: 0 },
  "ipvs.udpTimeout": { type: "duration", default: 0 },
  "winkernel.networkName": { type: "string", default: "" },
  "winkernel.sourceVip": { type: "string", default: "" },
  "winkernel.enableDSR": { type: "boolean", default: false },
  "winkernel.rootHnsEndpointName": { type: "string", default: "" },
  "winkernel.forwardHealthCheckVip": { type: "boolean", default: false },
  "nftables.masqueradeBit": { type: "integer", default: 14, effect: true },
  "nftables.masqueradeAll": { type: "boolean", default: false, effect: true },
  "nftables.syncPeriod": { type: "duration", default: 30_000, effect: true, zeroIsUnset: true },
  // Upstream's default is 1 s, because a sync costs it that much. Here a change costs microseconds, and a
  // burst is coalesced without a fixed delay.
  "nftables.minSyncPeriod": { type: "duration", default: 0, effect: true },
  detectLocalMode: { type: "string", default: "ClusterCIDR", effect: true, zeroIsUnset: true },
  "detectLocal.bridgeInterface": { type: "string", default: "", effect: true },
  "detectLocal.interfaceNamePrefix": { type: "string", default: "", effect: true },
  clusterCIDR: { type: "string", default: "", effect: true },
  nodePortAddresses: { type: "strings", default: null, effect: true },
  oomScoreAdj: { type: "integer", default: -999 },
  "conntrack.maxPerCore": { type: "integer", default: 32_768 },
  "conntrack.min": { type: "integer", default: 131_072 },
  "conntrack.tcpEstablishedTimeout": { type: "duration", default: 24 * HOUR },
  "conntrack.tcpCloseWaitTimeout": { type: "duration", default: HOUR },
  "conntrack.tcpBeLiberal": { type: "boolean", default: false },
  "conntrack.udpTimeout": { type: "duration", default: 0 },
  "conntrack.udpStreamTimeout": { type: "duration", default: 0 },
  configSyncPeriod: { type: "duration", default: HOUR / 4, zeroIsUnset: true },
  portRange: { type: "string", default: "" },
  windowsRunAsService: { type: "boolean", default: false },
} as const satisfies { readonly [path: string]: Field };

/**
 * Our own section of the same file. A kube-proxy would warn of an unknown field and go on, so one file
 * serves both.
 */
export const OWN_FIELDS = {
  "sluice.counters": { type: "boolean", default: true, effect: true },
  "sluice.manifests": { type: "string", default: "", effect: true },
  "sluice.endpointMetricsLimit": { type: "integer", default: 10_000, effect: true },
} as const satisfies { readonly [path: string]: Field };

const ALL = { ...FIELDS, ...OWN_FIELDS };

/** `clientConnection.kubeconfig`, `mode`: the names on the way to a field, with dots between them. */
export type FieldPath = keyof typeof ALL;

/** The fields of one type. */
export type PathOf<Type extends FieldType> = {
  [Path in FieldPath]: (typeof ALL)[Path]["type"] extends Type ? Path : never;
}[FieldPath];

/** What a field comes to in the configuration: durations are milliseconds, a list may be absent. */
export type ValueAt<Path extends FieldPath> = ValueOfType[(typeof ALL)[Path]["type"]];

interface ValueOfType {
  readonly string: string;
  readonly boolean: boolean;
  readonly integer: number;
  readonly number: number;
  readonly duration: number;
  readonly strings: readonly string[] | null;
  readonly gates: object;
  readonly any: FieldValue;
}

const SECTIONS: ReadonlySet<string> = new Set(
  Object.keys(ALL).flatMap((path) => {
    const parts = path.split(".");
    return parts.slice(1).map((_, depth) => parts.slice(0, depth + 1).join("."));
  }),
);

/** Does a field have this path? Whatever a file calls its own, such as `constructor`, is none. */
export function isFieldPath(path: string): path is FieldPath {
  return Object.hasOwn(ALL, path);
}

/** Is this the path of a mapping that holds fields? */
export function isSection(path: string): boolean {
  return SECTIONS.has(path);
}

/** Type, default and effect of a field. */
export function fieldAt(path: FieldPath): Field {
  return ALL[path];
}

/** Does this value say nothing, as upstream's defaulting sees it? */
export function isUnset(field: Field, value: FieldValue): boolean {
  return value === null || (field.zeroIsUnset === true && (value === 0 || value === ""));
}
