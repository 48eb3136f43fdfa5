/** Lists every field of a configuration file as data, and answers questions about fields. */

import { printDuration } from "./duration.ts";
import type { ConfigField, FieldType, FieldValue, VmoduleItem } from "./field.ts";

const HOUR = 3_600_000;

/**
 * Every field of kube-proxy's KubeProxyConfiguration v1alpha1 (kube-proxy 1.36), in the order in
 * which /configz shows them.
 */
const UPSTREAM_FIELDS = {
  featureGates: {
    type: "gates",
    default: {},
    does: "`AllowServiceExternalIPs=false`: externalIPs of Services are not served. `WatchListClient=true`: initial states come as a stream of the watch rather than by a list, which is slower and the default here is false. Other gates have no effect",
    live: "yes, but WatchListClient by a new process",
  },
  "clientConnection.kubeconfig": {
    type: "string",
    default: "",
    does: "kubeconfig file; without it, and without --master, the service account of the pod is used",
    live: "no",
  },
  "clientConnection.acceptContentTypes": { type: "string", default: "", idle: "encoding" },
  "clientConnection.contentType": {
    type: "string",
    default: "application/vnd.kubernetes.protobuf",
    zeroIsUnset: true,
    idle: "encoding",
  },
  "clientConnection.qps": { type: "number", default: 5, zeroIsUnset: true, idle: "requests" },
  "clientConnection.burst": { type: "integer", default: 10, zeroIsUnset: true, idle: "requests" },
  "logging.format": {
    type: "string",
    default: "text",
    zeroIsUnset: true,
    does: "text (klog's lines) or json",
  },
  "logging.flushFrequency": {
    type: "flush-period",
    default: 5000,
    zeroIsUnset: true,
    idle: "unbuffered",
  },
  "logging.verbosity": {
    type: "integer",
    default: 0,
    does: "how much to log: 2 each sync, 4 each decision, 6 each message",
  },
  "logging.vmodule": {
    type: "vmodule",
    default: [],
    does: "levels of single source files of Sluice, which rise above verbosity: `proxy=4,a*=2`. Only with format text",
  },
  "logging.options.text.splitStream": { type: "boolean", default: false, idle: "unbuffered" },
  "logging.options.text.infoBufferSize": { type: "quantity", default: "0", idle: "unbuffered" },
  "logging.options.json.splitStream": { type: "boolean", default: false, idle: "unbuffered" },
  "logging.options.json.infoBufferSize": { type: "quantity", default: "0", idle: "unbuffered" },
  hostnameOverride: {
    type: "string",
    default: "",
    shown: "the host name",
    does: "name of this Node, in lower case",
    live: "no",
  },
  bindAddress: {
    type: "string",
    default: "0.0.0.0",
    zeroIsUnset: true,
    does: "nothing is bound to it: unless unspecified, it stands for the node's primary IP of its family",
  },
  healthzBindAddress: {
    type: "string",
    default: "",
    shown: "0.0.0.0:10256",
    zeroIsUnset: true,
    does: "IP or IP:port of /healthz and /livez. `[::]:10256` when bindAddress is IPv6",
  },
  metricsBindAddress: {
    type: "string",
    default: "",
    shown: "127.0.0.1:10249",
    zeroIsUnset: true,
    does: "IP or IP:port of /metrics, /configz and /proxyMode. `[::1]:10249` when bindAddress is IPv6",
  },
  bindAddressHardFail: {
    type: "boolean",
    default: false,
    does: "end the process if one of these addresses cannot be bound, rather than trying again",
  },
  enableProfiling: {
    type: "boolean",
    default: false,
    does: "serve the diagnostics of /debug on the metrics address",
  },
  showHiddenMetricsForVersion: { type: "string", default: "", idle: "hidden" },
  mode: {
    type: "string",
    default: "",
    shown: "auto",
    does: "what serves: nftables, iptables, or auto, which is nftables if the kernel can and else iptables. Nothing is auto too; so is ipvs, which is not served, with a warning. It decides which of the sections below counts (in mode auto that of nftables where it says something, else that of iptables), and without nodePortAddresses whether node ports are served on the primary addresses (nftables) or on all (every other)",
    live: "no",
  },
  "iptables.masqueradeBit": {
    type: "integer",
    default: 14,
    does: "as nftables.masqueradeBit, in every mode but nftables",
  },
  "iptables.masqueradeAll": {
    type: "boolean",
    default: false,
    does: "as nftables.masqueradeAll, in every mode but nftables",
  },
  // kube-proxy's default is true.
  "iptables.localhostNodePorts": {
    type: "boolean",
    default: false,
    does: "serve node ports on 127.0.0.0/8 too where iptables serves, unless nodePortAddresses leave loopback out. It needs net.ipv4.conf.all.route_localnet, which is set. kube-proxy's default is true; here it has to be written",
  },
  "iptables.syncPeriod": {
    type: "duration",
    default: 30_000,
    zeroIsUnset: true,
    does: "as nftables.syncPeriod, in modes iptables and auto",
  },
  "iptables.minSyncPeriod": {
    type: "duration",
    default: 1000,
    shown: "0s",
    zeroIsUnset: true,
    does: "as nftables.minSyncPeriod, in modes iptables and auto",
  },
  "ipvs.syncPeriod": {
    type: "duration",
    default: 30_000,
    zeroIsUnset: true,
    does: "as nftables.syncPeriod, in mode ipvs",
  },
  "ipvs.minSyncPeriod": {
    type: "duration",
    default: 0,
    does: "as nftables.minSyncPeriod, in mode ipvs",
  },
  "ipvs.scheduler": { type: "string", default: "", idle: "ipvs" },
  "ipvs.excludeCIDRs": { type: "strings", default: null, idle: "ipvs" },
  "ipvs.strictARP": { type: "boolean", default: false, idle: "ipvs" },
  "ipvs.tcpTimeout": { type: "duration", default: 0, idle: "ipvs" },
  "ipvs.tcpFinTimeout": { type: "duration", default: 0, idle: "ipvs" },
  "ipvs.udpTimeout": { type: "duration", default: 0, idle: "ipvs" },
  "winkernel.networkName": { type: "string", default: "", idle: "windows" },
  "winkernel.sourceVip": { type: "string", default: "", idle: "windows" },
  "winkernel.enableDSR": { type: "boolean", default: false, idle: "windows" },
  "winkernel.rootHnsEndpointName": { type: "string", default: "", idle: "windows" },
  "winkernel.forwardHealthCheckVip": { type: "boolean", default: false, idle: "windows" },
  "nftables.masqueradeBit": {
    type: "integer",
    default: 14,
    does: "bit of the packet mark that asks for masquerading, 0 to 31",
  },
  "nftables.masqueradeAll": {
    type: "boolean",
    default: false,
    does: "masquerade all traffic to clusterIPs",
  },
  "nftables.syncPeriod": {
    type: "duration",
    default: 30_000,
    zeroIsUnset: true,
    does: "longest wait of a retry; a change that waits for twice as long makes the proxy unhealthy",
  },
  // kube-proxy's default is 1 s, because a sync costs it that much. Here a change costs
  // microseconds, and bursts are merged without a fixed delay.
  "nftables.minSyncPeriod": {
    type: "duration",
    default: 0,
    does: "least time between two syncs. kube-proxy's default is 1s; here a change is programmed at once, and a burst is coalesced without a fixed delay",
  },
  detectLocalMode: {
    type: "string",
    default: "ClusterCIDR",
    zeroIsUnset: true,
    does: "how pods are told from everybody else: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix",
  },
  "detectLocal.bridgeInterface": {
    type: "string",
    default: "",
    does: "the bridge of mode BridgeInterface",
  },
  "detectLocal.interfaceNamePrefix": {
    type: "string",
    default: "",
    does: "how the interfaces of pods begin in mode InterfaceNamePrefix",
  },
  clusterCIDR: {
    type: "string",
    default: "",
    does: "range of all pods in mode ClusterCIDR, or one for each family, separated by a comma",
  },
  nodePortAddresses: {
    type: "strings",
    default: null,
    shown: "all; in mode nftables primary",
    does: "ranges of this node's addresses that serve node ports, or `primary`",
  },
  oomScoreAdj: {
    type: "integer",
    default: -999,
    does: "oom_score_adj of the process, -1000 to 1000",
  },
  "conntrack.maxPerCore": {
    type: "integer",
    default: 32_768,
    does: "entries of connection tracking for each processor; 0 leaves the kernel's limit alone. A higher limit is never lowered",
  },
  "conntrack.min": {
    type: "integer",
    default: 131_072,
    does: "least entries of connection tracking in all, unless maxPerCore is 0",
  },
  "conntrack.tcpEstablishedTimeout": {
    type: "duration",
    default: 24 * HOUR,
    does: "timeout of idle established TCP connections; 0 leaves the kernel's alone",
  },
  "conntrack.tcpCloseWaitTimeout": {
    type: "duration",
    default: HOUR,
    does: "timeout of TCP connections in CLOSE_WAIT; 0 leaves the kernel's alone",
  },
  "conntrack.tcpBeLiberal": {
    type: "boolean",
    default: false,
    does: "take TCP packets outside the window for valid; false leaves the kernel's setting alone",
  },
  "conntrack.udpTimeout": {
    type: "duration",
    default: 0,
    does: "timeout of UDP flows without an answer; 0 leaves the kernel's alone",
  },
  "conntrack.udpStreamTimeout": {
    type: "duration",
    default: 0,
    does: "timeout of answered UDP flows; 0 leaves the kernel's alone",
  },
  configSyncPeriod: { type: "duration", default: HOUR / 4, zeroIsUnset: true, idle: "resync" },
  portRange: { type: "string", default: "", idle: "leftover" },
  windowsRunAsService: { type: "boolean", default: false, idle: "windows" },
} as const satisfies { readonly [path: string]: ConfigField };

/**
 * The fields of our own section. kube-proxy only warns of unknown fields, so one file works for
 * both.
 */
const OWN_FIELDS = {
  "sluice.counters": {
    type: "boolean",
    default: true,
    does: "count new connections by Service and endpoint. Only nftables can: without effect where iptables serves",
    live: "no",
  },
  "sluice.manifests": {
    type: "string",
    default: "",
    does: "directory of Services, EndpointSlices and Nodes to serve instead of an API server",
    live: "no",
  },
  "sluice.endpointMetricsLimit": {
    type: "integer",
    default: 10_000,
    does: "most series of sluice_endpoint_connections_total, 0 to 1000000; 0: none",
  },
  "sluice.adminBindAddress": {
    type: "string",
    default: "",
    shown: "the metrics address",
    does: "IP:port of the paths under /sluice/v1. The metrics address itself is the same as none",
  },
  "sluice.dropInvalidPackets": {
    type: "string",
    default: "auto",
    does: "drop packets that connection tracking takes for invalid, rather than forward them untranslated: always, never, or auto, which is before Linux 6.1, where late copies are among them",
  },
  "sluice.removeKubeProxyRules": {
    type: "boolean",
    default: true,
    does: "remove what kube-proxy has left in the kernel once our own rules are in it",
  },
} as const satisfies { readonly [path: string]: ConfigField };

const ALL = { ...UPSTREAM_FIELDS, ...OWN_FIELDS };

/** The names on the way to a field, joined by dots: `clientConnection.kubeconfig`, `mode`. */
export type FieldPath = keyof typeof ALL;

/** The fields of one type. */
export type PathOf<Type extends FieldType> = {
  [Path in FieldPath]: (typeof ALL)[Path]["type"] extends Type ? Path : never;
}[FieldPath];

/**
 * The type of a field's value in the configuration: durations in milliseconds; a list may be
 * absent.
 */
export type ValueAt<Path extends FieldPath> = ValueOfType[(typeof ALL)[Path]["type"]];

interface ValueOfType {
  readonly string: string;
  readonly boolean: boolean;
  readonly integer: number;
  readonly number: number;
  readonly duration: number;
  readonly "flush-period": number;
  readonly quantity: string | number;
  readonly strings: readonly string[] | null;
  readonly gates: { readonly [name: string]: boolean };
  readonly vmodule: readonly VmoduleItem[];
}

const SECTIONS: ReadonlySet<string> = new Set(
  Object.keys(ALL).flatMap((path) => {
    const parts = path.split(".");
    return parts.slice(1).map((_, depth) => parts.slice(0, depth + 1).join("."));
  }),
);

/** Returns whether a field has this path. Inherited names such as `constructor` do not count. */
export function isFieldPath(path: string): path is FieldPath {
  return Object.hasOwn(ALL, path);
}

/** Returns whether this is the path of a mapping that contains fields. */
export function isSection(path: string): boolean {
  return SECTIONS.has(path);
}

/** Returns the definition of a field. */
export function fieldAt(path: FieldPath): ConfigField {
  return ALL[path];
}

/** Returns the paths of kube-proxy's document in its order, or those of our own section. */
export function fieldPaths(section: "upstream" | "own"): readonly FieldPath[] {
  return Object.keys(section === "own" ? OWN_FIELDS : UPSTREAM_FIELDS) as FieldPath[];
}

/** Returns a value as a file or flag contains it: durations become Go's text. */
export function asWritten(type: FieldType, value: FieldValue): FieldValue {
  const duration = type === "duration" || type === "flush-period";
  return duration && typeof value === "number" ? printDuration(value) : value;
}

/** Returns whether kube-proxy's defaulting treats this value as not set. */
export function isUnset(field: ConfigField, value: FieldValue): boolean {
  return value === null || (field.zeroIsUnset === true && (value === 0 || value === ""));
}

/** Returns the default of a field as --help and the documentation show it; "" for none. */
export function defaultText(path: FieldPath): string {
  const { type, default: given, shown } = fieldAt(path);
  if (shown !== undefined) return shown;
  const value = asWritten(type, given);
  if (value === null || value === "") return "";
  if (typeof value === "object")
    return Object.keys(value).length === 0 ? "" : JSON.stringify(value);
  return String(value);
}
