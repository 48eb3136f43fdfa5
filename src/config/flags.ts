/** Every flag of kube-proxy on Linux, and our own, as data. */
import type { FieldPath, FieldType } from "./fields.ts";

/** One flag. `name` is without its dashes; underscores in what is given count as dashes. */
export interface Flag {
  readonly name: string;
  readonly type: FieldType;
  /** The fields it sets. Without any it is handled by name, or does nothing. */
  readonly fields?: readonly FieldPath[];
  /**
   * It counts beside --config. Upstream ignores every other flag then; that stays, so that a DaemonSet with
   * leftover flags means the same.
   */
  readonly besideConfig?: true;
  /** For --help; flags without it are accepted for compatibility and do nothing, or are deprecated. */
  readonly help?: string;
}

/** In the order of --help: what does something first, then what is accepted for a kube-proxy's sake. */
export const FLAGS: readonly Flag[] = [
  {
    name: "config",
    type: "string",
    besideConfig: true,
    help: "KubeProxyConfiguration file, YAML or JSON",
  },
  {
    name: "kubeconfig",
    type: "string",
    fields: ["clientConnection.kubeconfig"],
    help: "kubeconfig file; without it the service account of the pod is used",
  },
  { name: "master", type: "string", besideConfig: true, help: "URL of the API server" },
  {
    name: "manifests",
    type: "string",
    fields: ["sluice.manifests"],
    besideConfig: true,
    help: "directory of Services, EndpointSlices and Nodes to serve instead of an API server",
  },
  {
    name: "hostname-override",
    type: "string",
    fields: ["hostnameOverride"],
    besideConfig: true,
    help: "name of this node, if it is not the host name",
  },
  {
    name: "proxy-mode",
    type: "string",
    fields: ["mode"],
    help: "nftables; iptables and ipvs are accepted and served by nftables",
  },
  {
    name: "cluster-cidr",
    type: "string",
    fields: ["clusterCIDR"],
    help: "range of all pods, one for each family, separated by a comma",
  },
  {
    name: "detect-local-mode",
    type: "string",
    fields: ["detectLocalMode"],
    help: "ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix",
  },
  {
    name: "pod-bridge-interface",
    type: "string",
    fields: ["detectLocal.bridgeInterface"],
    help: "the bridge of mode BridgeInterface",
  },
  {
    name: "pod-interface-name-prefix",
    type: "string",
    fields: ["detectLocal.interfaceNamePrefix"],
    help: "how pod interfaces begin in mode InterfaceNamePrefix",
  },
  {
    name: "nodeport-addresses",
    type: "strings",
    fields: ["nodePortAddresses"],
    help: "ranges of node addresses that serve node ports, or primary",
  },
  {
    name: "masquerade-all",
    type: "boolean",
    fields: ["iptables.masqueradeAll", "nftables.masqueradeAll"],
    help: "masquerade all traffic to clusterIPs",
  },
  {
    name: "bind-address",
    type: "string",
    fields: ["bindAddress"],
    help: "the node's primary IP, if not 0.0.0.0 or ::",
  },
  {
    name: "healthz-bind-address",
    type: "string",
    fields: ["healthzBindAddress"],
    help: "IP:port of /healthz and /livez (0.0.0.0:10256)",
  },
  {
    name: "metrics-bind-address",
    type: "string",
    fields: ["metricsBindAddress"],
    help: "IP:port of /metrics and the admin API (127.0.0.1:10249)",
  },
  {
    name: "bind-address-hard-fail",
    type: "boolean",
    fields: ["bindAddressHardFail"],
    help: "exit if one of these addresses cannot be bound",
  },
  // Upstream's nftables mode has no flags of its own and reads these two.
  {
    name: "iptables-sync-period",
    type: "duration",
    fields: ["iptables.syncPeriod", "nftables.syncPeriod"],
    help: "longest wait of a retry (30s)",
  },
  {
    name: "iptables-min-sync-period",
    type: "duration",
    fields: ["iptables.minSyncPeriod", "nftables.minSyncPeriod"],
    help: "least time between two syncs (0s)",
  },
  {
    name: "iptables-masquerade-bit",
    type: "integer",
    fields: ["iptables.masqueradeBit"],
    help: "bit of the packet mark that asks for masquerading (14)",
  },
  {
    name: "counters",
    type: "boolean",
    fields: ["sluice.counters"],
    besideConfig: true,
    help: "count new connections by Service and endpoint (true)",
  },
  {
    name: "v",
    type: "integer",
    fields: ["logging.verbosity"],
    besideConfig: true,
    help: "how much to log, 0 to 10 (0)",
  },
  {
    name: "logging-format",
    type: "string",
    fields: ["logging.format"],
    besideConfig: true,
    help: "text or json",
  },
  { name: "cleanup", type: "boolean", besideConfig: true, help: "remove all rules, and exit" },
  { name: "version", type: "string", besideConfig: true, help: "print the version, and exit" },
  { name: "help", type: "boolean", besideConfig: true, help: "print this, and exit" },
  { name: "healthz-port", type: "integer" },
  { name: "metrics-port", type: "integer" },
  { name: "ipvs-sync-period", type: "duration", fields: ["ipvs.syncPeriod"] },
  { name: "ipvs-min-sync-period", type: "duration", fields: ["ipvs.minSyncPeriod"] },
  { name: "ipvs-scheduler", type: "string", fields: ["ipvs.scheduler"] },
  { name: "ipvs-exclude-cidrs", type: "strings", fields: ["ipvs.excludeCIDRs"] },
  { name: "ipvs-strict-arp", type: "boolean", fields: ["ipvs.strictARP"] },
  { name: "ipvs-tcp-timeout", type: "duration", fields: ["ipvs.tcpTimeout"] },
  { name: "ipvs-tcpfin-timeout", type: "duration", fields: ["ipvs.tcpFinTimeout"] },
  { name: "ipvs-udp-timeout", type: "duration", fields: ["ipvs.udpTimeout"] },
  {
    name: "iptables-localhost-nodeports",
    type: "boolean",
    fields: ["iptables.localhostNodePorts"],
  },
  { name: "feature-gates", type: "gates", fields: ["featureGates"] },
  { name: "kube-api-content-type", type: "string", fields: ["clientConnection.contentType"] },
  { name: "kube-api-burst", type: "integer", fields: ["clientConnection.burst"] },
  { name: "kube-api-qps", type: "number", fields: ["clientConnection.qps"] },
  { name: "profiling", type: "boolean", fields: ["enableProfiling"] },
  {
    name: "show-hidden-metrics-for-version",
    type: "string",
    fields: ["showHiddenMetricsForVersion"],
  },
  { name: "oom-score-adj", type: "integer", fields: ["oomScoreAdj"] },
  { name: "conntrack-max-per-core", type: "integer", fields: ["conntrack.maxPerCore"] },
  { name: "conntrack-min", type: "integer", fields: ["conntrack.min"] },
  {
    name: "conntrack-tcp-timeout-established",
    type: "duration",
    fields: ["conntrack.tcpEstablishedTimeout"],
  },
  {
    name: "conntrack-tcp-timeout-close-wait",
    type: "duration",
    fields: ["conntrack.tcpCloseWaitTimeout"],
  },
  { name: "conntrack-tcp-be-liberal", type: "boolean", fields: ["conntrack.tcpBeLiberal"] },
  { name: "conntrack-udp-timeout", type: "duration", fields: ["conntrack.udpTimeout"] },
  {
    name: "conntrack-udp-timeout-stream",
    type: "duration",
    fields: ["conntrack.udpStreamTimeout"],
  },
  { name: "config-sync-period", type: "duration", fields: ["configSyncPeriod"] },
  { name: "log-flush-frequency", type: "duration", besideConfig: true },
  { name: "vmodule", type: "string", besideConfig: true },
  { name: "log-text-split-stream", type: "boolean", besideConfig: true },
  { name: "log-text-info-buffer-size", type: "string", besideConfig: true },
  { name: "log-json-split-stream", type: "boolean", besideConfig: true },
  { name: "log-json-info-buffer-size", type: "string", besideConfig: true },
  { name: "boot-id-file", type: "string", besideConfig: true },
  { name: "machine-id-file", type: "string", besideConfig: true },
];

/** Flags of kube-proxy that would be misunderstood if they did nothing, and why they are refused. */
export const REFUSED_FLAGS: { readonly [name: string]: string } = {
  "init-only": "there is no privileged step that could be done ahead",
  "write-config-to": "read /configz on the metrics address instead",
};

/** Flags that are no field of the configuration, but are acted on. */
export const ACTED_ON: ReadonlySet<string> = new Set([
  "config",
  "master",
  "cleanup",
  "version",
  "help",
  "healthz-port",
  "metrics-port",
]);
