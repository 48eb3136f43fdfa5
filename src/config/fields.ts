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
    does: "`AllowServiceExternalIPs` (default true): serve externalIPs of Services. `WatchListClient` (default false): get the initial state as a watch stream instead of a list. Other gates have no effect",
    live: "yes; WatchListClient: no",
  },
  "clientConnection.kubeconfig": {
    type: "string",
    default: "",
    does: "kubeconfig file. Without it and without --master, Sluice uses the pod's service account",
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
    does: "`text` (klog's format) or `json`",
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
    does: "log level: 1 adds each listener, 2 each sync and each check of the conntrack entries; higher levels add nothing",
  },
  "logging.vmodule": {
    type: "vmodule",
    default: [],
    does: "higher log levels for single source files of Sluice, such as `telemetry=2,event*=2`. Only with format text",
  },
  "logging.options.text.splitStream": { type: "boolean", default: false, idle: "unbuffered" },
  "logging.options.text.infoBufferSize": { type: "quantity", default: "0", idle: "unbuffered" },
  "logging.options.json.splitStream": { type: "boolean", default: false, idle: "unbuffered" },
  "logging.options.json.infoBufferSize": { type: "quantity", default: "0", idle: "unbuffered" },
  hostnameOverride: {
    type: "string",
    default: "",
    shown: "the host name",
    does: "name of this Node. Sluice converts it to lower case",
    live: "no",
  },
  bindAddress: {
    type: "string",
    default: "0.0.0.0",
    zeroIsUnset: true,
    does: "IP of this node, which replaces the Node object's IP of the same family. 0.0.0.0 and :: replace nothing. Sluice does not listen on it",
  },
  healthzBindAddress: {
    type: "string",
    default: "",
    shown: "0.0.0.0:10256",
    zeroIsUnset: true,
    does: "IP or IP:port of /healthz and /livez. 0.0.0.0 and :: listen on both families. Default if bindAddress is IPv6: `[::]:10256`",
  },
  metricsBindAddress: {
    type: "string",
    default: "",
    shown: "127.0.0.1:10249",
    zeroIsUnset: true,
    does: "IP or IP:port of /metrics, /configz and /proxyMode. 0.0.0.0 and :: listen on both families. Default if bindAddress is IPv6: `[::1]:10249`",
  },
  bindAddressHardFail: {
    type: "boolean",
    default: false,
    does: "exit if the health, metrics or admin address cannot be bound, instead of retrying",
  },
  enableProfiling: {
    type: "boolean",
    default: false,
    does: "serve diagnostics under /debug on the metrics address",
  },
  showHiddenMetricsForVersion: { type: "string", default: "", idle: "hidden" },
  mode: {
    type: "string",
    default: "",
    shown: "auto",
    does: "backend: `nftables`, `iptables`, or `auto` (nftables if the kernel supports it, otherwise iptables). Empty means auto; `ipvs` too, with a warning",
    live: "no",
  },
  "iptables.masqueradeBit": {
    type: "integer",
    default: 14,
    does: "same as nftables.masqueradeBit, in all modes except nftables",
  },
  "iptables.masqueradeAll": {
    type: "boolean",
    default: false,
    does: "same as nftables.masqueradeAll, in all modes except nftables",
  },
  // kube-proxy's default is true.
  "iptables.localhostNodePorts": {
    type: "boolean",
    default: false,
    does: "with iptables, serve node ports on 127.0.0.0/8 too, unless nodePortAddresses exclude it. Sluice sets net.ipv4.conf.all.route_localnet. kube-proxy's default is true",
  },
  "iptables.syncPeriod": {
    type: "duration",
    default: 30_000,
    zeroIsUnset: true,
    does: "same as nftables.syncPeriod, in modes iptables and auto",
  },
  "iptables.minSyncPeriod": {
    type: "duration",
    default: 1000,
    shown: "0s",
    zeroIsUnset: true,
    does: "same as nftables.minSyncPeriod, in modes iptables and auto",
  },
  "ipvs.syncPeriod": {
    type: "duration",
    default: 30_000,
    zeroIsUnset: true,
    does: "same as nftables.syncPeriod, in mode ipvs",
  },
  "ipvs.minSyncPeriod": {
    type: "duration",
    default: 0,
    does: "same as nftables.minSyncPeriod, in mode ipvs",
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
    does: "bit of the packet mark that requests masquerading, 0 to 31",
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
    does: "longest delay of a retry. If a change waits twice as long, Sluice is unhealthy",
  },
  // kube-proxy's default is 1 s, because a sync costs it that much. Here a change costs
  // microseconds, and bursts are merged without a fixed delay.
  "nftables.minSyncPeriod": {
    type: "duration",
    default: 0,
    does: "minimum time between two syncs. kube-proxy's default is 1s",
  },
  detectLocalMode: {
    type: "string",
    default: "ClusterCIDR",
    zeroIsUnset: true,
    does: "how to recognize pod traffic: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix",
  },
  "detectLocal.bridgeInterface": {
    type: "string",
    default: "",
    does: "bridge of the pods, for mode BridgeInterface",
  },
  "detectLocal.interfaceNamePrefix": {
    type: "string",
    default: "",
    does: "prefix of the pods' interface names, for mode InterfaceNamePrefix",
  },
  clusterCIDR: {
    type: "string",
    default: "",
    does: "pod range of the cluster, or one per family separated by a comma, for mode ClusterCIDR",
  },
  nodePortAddresses: {
    type: "strings",
    default: null,
    shown: "all; primary in mode nftables",
    does: "ranges of the node's own addresses that serve node ports, or `primary`. Local routes count too. A family without a range serves on all its addresses",
  },
  oomScoreAdj: {
    type: "integer",
    default: -999,
    does: "oom_score_adj of the process, -1000 to 1000",
  },
  "conntrack.maxPerCore": {
    type: "integer",
    default: 32_768,
    does: "maximum conntrack entries per CPU, up to 1048576 in total. 0 keeps the kernel's limit. Sluice never lowers the limit",
  },
  "conntrack.min": {
    type: "integer",
    default: 131_072,
    does: "lower bound of the conntrack limit. No effect if maxPerCore is 0",
  },
  "conntrack.tcpEstablishedTimeout": {
    type: "duration",
    default: 24 * HOUR,
    does: "timeout of idle established TCP connections. 0 keeps the kernel's value",
  },
  "conntrack.tcpCloseWaitTimeout": {
    type: "duration",
    default: HOUR,
    does: "timeout of TCP connections in CLOSE_WAIT. 0 keeps the kernel's value",
  },
  "conntrack.tcpBeLiberal": {
    type: "boolean",
    default: false,
    does: "accept TCP packets outside the window as valid. false keeps the kernel's setting",
  },
  "conntrack.udpTimeout": {
    type: "duration",
    default: 0,
    does: "timeout of unanswered UDP entries. 0 keeps the kernel's value",
  },
  "conntrack.udpStreamTimeout": {
    type: "duration",
    default: 0,
    does: "timeout of answered UDP entries. 0 keeps the kernel's value",
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
    does: "count new connections per Service and endpoint. No effect with iptables",
    live: "no",
  },
  "sluice.manifests": {
    type: "string",
    default: "",
    does: "directory of Services, EndpointSlices, Nodes and ServiceCIDRs to use instead of an API server",
    live: "no",
  },
  "sluice.endpointMetricsLimit": {
    type: "integer",
    default: 10_000,
    does: "maximum number of series of sluice_endpoint_connections_total, 0 to 1000000",
  },
  "sluice.adminBindAddress": {
    type: "string",
    default: "",
    shown: "the metrics address",
    does: "IP:port of the paths under /sluice/v1",
  },
  "sluice.dropInvalidPackets": {
    type: "string",
    default: "auto",
    does: "drop packets that conntrack considers invalid, instead of forwarding them untranslated: `always`, `never`, or `auto` (before Linux 6.1, unless nf_conntrack_tcp_be_liberal is set)",
  },
  "sluice.removeKubeProxyRules": {
    type: "boolean",
    default: true,
    does: "remove kube-proxy's rules from the kernel after the first sync",
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

/** Reports whether a field has this path. Inherited names such as `constructor` do not count. */
export function isFieldPath(path: string): path is FieldPath {
  return Object.hasOwn(ALL, path);
}

/** Reports whether this is the path of a mapping that contains fields. */
export function isSection(path: string): boolean {
  return SECTIONS.has(path);
}

export function fieldAt(path: FieldPath): ConfigField {
  return ALL[path];
}

/** Returns the paths of kube-proxy's document in its order, or the paths of our own section. */
export function fieldPaths(section: "upstream" | "own"): readonly FieldPath[] {
  return Object.keys(section === "own" ? OWN_FIELDS : UPSTREAM_FIELDS) as FieldPath[];
}

/** Returns a value as a file or flag contains it: durations become Go's text. */
export function asWritten(type: FieldType, value: FieldValue): FieldValue {
  const duration = type === "duration" || type === "flush-period";
  return duration && typeof value === "number" ? printDuration(value) : value;
}

/** Reports whether kube-proxy's defaulting treats this value as not set. */
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
