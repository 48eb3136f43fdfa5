/** Lists every flag of kube-proxy on Linux, and our own, as data. */
import type { FieldType, Reason } from "./field.ts";
import { type FieldPath, fieldAt } from "./fields.ts";

/** The headings of --help, in order. Flags without effect come after them. */
export const GROUPS = {
  instead: "What to do instead of running",
  source: "Where settings and objects come from",
  local: "Which traffic is local, and masquerading",
  nodePorts: "Addresses of this node",
  listen: "Health and metrics",
  timing: "Timing",
  node: "Conntrack and the node",
  log: "Logging",
} as const;

/** One flag. `name` has no dashes. In a given flag, underscores count as dashes. */
export interface Flag {
  readonly name: string;
  readonly type: FieldType;
  /** The fields that it sets. A flag without fields is handled by name or has no effect. */
  readonly fields?: readonly FieldPath[];
  /**
   * Valid together with --config, and overrides the file. kube-proxy ignores all other flags then.
   * Sluice does the same, so a DaemonSet with leftover flags behaves the same.
   */
  readonly besideConfig?: true;
  /** Help of a flag without fields, or if it differs from the help of its first field. */
  readonly help?: string;
  /** Placeholder of the value in --help, if not the one of the type. */
  readonly value?: string;
  /** Undefined for flags without effect; `idle` or their fields give the reason. */
  readonly group?: keyof typeof GROUPS;
  readonly idle?: Reason;
}

/** Flags of kube-proxy without effect. Their fields or `idle` give the reason. */
const FLAGS_WITHOUT_EFFECT: readonly Flag[] = [
  { name: "ipvs-scheduler", type: "string", fields: ["ipvs.scheduler"] },
  { name: "ipvs-exclude-cidrs", type: "strings", fields: ["ipvs.excludeCIDRs"] },
  { name: "ipvs-strict-arp", type: "boolean", fields: ["ipvs.strictARP"] },
  { name: "ipvs-tcp-timeout", type: "duration", fields: ["ipvs.tcpTimeout"] },
  { name: "ipvs-tcpfin-timeout", type: "duration", fields: ["ipvs.tcpFinTimeout"] },
  { name: "ipvs-udp-timeout", type: "duration", fields: ["ipvs.udpTimeout"] },
  { name: "config-sync-period", type: "duration", fields: ["configSyncPeriod"] },
  { name: "kube-api-content-type", type: "string", fields: ["clientConnection.contentType"] },
  { name: "kube-api-burst", type: "integer", fields: ["clientConnection.burst"] },
  { name: "kube-api-qps", type: "number", fields: ["clientConnection.qps"] },
  {
    name: "show-hidden-metrics-for-version",
    type: "string",
    fields: ["showHiddenMetricsForVersion"],
  },
  {
    name: "log-flush-frequency",
    type: "duration",
    fields: ["logging.flushFrequency"],
    besideConfig: true,
  },
  {
    name: "log-text-split-stream",
    type: "boolean",
    fields: ["logging.options.text.splitStream"],
    besideConfig: true,
  },
  {
    name: "log-text-info-buffer-size",
    type: "quantity",
    fields: ["logging.options.text.infoBufferSize"],
    besideConfig: true,
  },
  {
    name: "log-json-split-stream",
    type: "boolean",
    fields: ["logging.options.json.splitStream"],
    besideConfig: true,
  },
  {
    name: "log-json-info-buffer-size",
    type: "quantity",
    fields: ["logging.options.json.infoBufferSize"],
    besideConfig: true,
  },
  { name: "boot-id-file", type: "string", besideConfig: true, idle: "leftover" },
  { name: "machine-id-file", type: "string", besideConfig: true, idle: "leftover" },
];

/** In the order of --help. Flags without effect come last. */
export const FLAGS: readonly Flag[] = [
  ...inGroup("instead", [
    { name: "help", type: "boolean", help: "print this; also -h" },
    {
      name: "version",
      type: "string",
      value: "",
      help: "print the version; --version=raw: and what it is made of",
    },
    {
      name: "write-config-to",
      type: "string",
      value: "FILE",
      help: "write what the other flags and the file come to as a configuration file. Nothing else is touched",
    },
    {
      name: "cleanup",
      type: "boolean",
      help: "remove all rules of Sluice and of kube-proxy",
    },
    {
      name: "init-only",
      type: "boolean",
      help: "do what needs full rights (kernel settings); Sluice itself can then run with CAP_NET_ADMIN alone, and CAP_NET_RAW where iptables-legacy is run",
    },
  ]),
  ...inGroup("source", [
    {
      name: "config",
      type: "string",
      value: "FILE",
      help: "KubeProxyConfiguration, YAML or JSON; changes are taken up. Beside it only flags marked * count, and win over it",
    },
    {
      name: "kubeconfig",
      type: "string",
      value: "FILE",
      fields: ["clientConnection.kubeconfig"],
    },
    {
      name: "master",
      type: "string",
      value: "URL",
      besideConfig: true,
      help: "the API server, in place of the kubeconfig's",
    },
    {
      name: "manifests",
      type: "string",
      value: "DIR",
      fields: ["sluice.manifests"],
      besideConfig: true,
    },
    {
      name: "hostname-override",
      type: "string",
      value: "NAME",
      fields: ["hostnameOverride"],
      besideConfig: true,
    },
    {
      name: "feature-gates",
      type: "gates",
      value: "NAME=BOOL,...",
      fields: ["featureGates"],
      help: "AllowServiceExternalIPs (true) and WatchListClient (false); other gates have no effect",
    },
  ]),
  ...inGroup("local", [
    {
      name: "proxy-mode",
      type: "string",
      value: "MODE",
      fields: ["mode"],
      help: "nftables, iptables, or auto: nftables if the kernel can, else iptables. ipvs is taken for auto",
    },
    { name: "detect-local-mode", type: "string", value: "MODE", fields: ["detectLocalMode"] },
    { name: "cluster-cidr", type: "string", value: "CIDR[,CIDR]", fields: ["clusterCIDR"] },
    {
      name: "pod-bridge-interface",
      type: "string",
      value: "NAME",
      fields: ["detectLocal.bridgeInterface"],
    },
    {
      name: "pod-interface-name-prefix",
      type: "string",
      value: "PREFIX",
      fields: ["detectLocal.interfaceNamePrefix"],
    },
    {
      name: "masquerade-all",
      type: "boolean",
      fields: ["nftables.masqueradeAll", "iptables.masqueradeAll"],
    },
    {
      name: "iptables-masquerade-bit",
      type: "integer",
      fields: ["iptables.masqueradeBit"],
      help: "bit of the packet mark that asks for masquerading, in every mode but nftables: there only the file can say it, as in kube-proxy",
    },
  ]),
  ...inGroup("nodePorts", [
    {
      name: "nodeport-addresses",
      type: "strings",
      value: "CIDR,...",
      fields: ["nodePortAddresses"],
    },
    {
      name: "iptables-localhost-nodeports",
      type: "boolean",
      fields: ["iptables.localhostNodePorts"],
    },
    { name: "bind-address", type: "string", value: "IP", fields: ["bindAddress"] },
  ]),
  ...inGroup("listen", [
    {
      name: "healthz-bind-address",
      type: "string",
      value: "IP[:PORT]",
      fields: ["healthzBindAddress"],
      help: "where /healthz and /livez are served",
    },
    {
      name: "metrics-bind-address",
      type: "string",
      value: "IP[:PORT]",
      fields: ["metricsBindAddress"],
      help: "where /metrics, /configz and /proxyMode are served",
    },
    {
      name: "admin-bind-address",
      type: "string",
      value: "IP:PORT",
      fields: ["sluice.adminBindAddress"],
      besideConfig: true,
      help: "where the paths under /sluice/v1 are served",
    },
    { name: "bind-address-hard-fail", type: "boolean", fields: ["bindAddressHardFail"] },
    {
      name: "counters",
      type: "boolean",
      fields: ["sluice.counters"],
      besideConfig: true,
    },
    {
      name: "endpoint-metrics-limit",
      type: "integer",
      fields: ["sluice.endpointMetricsLimit"],
      besideConfig: true,
    },
    { name: "profiling", type: "boolean", fields: ["enableProfiling"] },
    {
      name: "healthz-port",
      type: "integer",
      help: "deprecated: the port where --healthz-bind-address has none; 0: no health server",
    },
    {
      name: "metrics-port",
      type: "integer",
      help: "deprecated: the port where --metrics-bind-address has none",
    },
  ]),
  ...inGroup("timing", [
    // kube-proxy's nftables mode has no flags for its periods and uses these two.
    {
      name: "iptables-sync-period",
      type: "duration",
      fields: ["nftables.syncPeriod", "iptables.syncPeriod"],
    },
    {
      name: "iptables-min-sync-period",
      type: "duration",
      fields: ["nftables.minSyncPeriod", "iptables.minSyncPeriod"],
      help: "least time between two syncs; 0s: a change is programmed at once",
    },
    {
      name: "ipvs-sync-period",
      type: "duration",
      fields: ["ipvs.syncPeriod"],
      help: "the same for mode ipvs",
    },
    {
      name: "ipvs-min-sync-period",
      type: "duration",
      fields: ["ipvs.minSyncPeriod"],
      help: "the same for mode ipvs",
    },
  ]),
  ...inGroup("node", [
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
    {
      name: "drop-invalid-packets",
      type: "string",
      value: "WHEN",
      fields: ["sluice.dropInvalidPackets"],
      besideConfig: true,
    },
    { name: "oom-score-adj", type: "integer", fields: ["oomScoreAdj"] },
    {
      name: "remove-kube-proxy-rules",
      type: "boolean",
      fields: ["sluice.removeKubeProxyRules"],
      besideConfig: true,
    },
  ]),
  ...inGroup("log", [
    { name: "v", type: "integer", fields: ["logging.verbosity"], besideConfig: true },
    {
      name: "vmodule",
      type: "vmodule",
      value: "FILE=N,...",
      fields: ["logging.vmodule"],
      besideConfig: true,
      help: "levels of single source files, such as proxy=4,health*=2; those of the file count too",
    },
    {
      name: "logging-format",
      type: "string",
      value: "FORMAT",
      fields: ["logging.format"],
      besideConfig: true,
    },
  ]),
  ...FLAGS_WITHOUT_EFFECT,
];

/** Returns why a flag has no effect; undefined if it has one. */
export function reasonOf({ idle, fields = [] }: Flag): Reason | undefined {
  const [first] = fields;
  return first === undefined ? idle : fieldAt(first).idle;
}

/**
 * Sets the group. Flags that replace the normal run, and --config itself, are valid with a file.
 */
function inGroup(group: keyof typeof GROUPS, flags: readonly Omit<Flag, "group">[]): Flag[] {
  return flags.map((flag) => {
    const always = group === "instead" || flag.name === "config";
    return { ...flag, group, ...(always && { besideConfig: true as const }) };
  });
}
