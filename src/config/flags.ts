/** Lists every flag of kube-proxy on Linux, and our own, as data. */
import type { FieldType, NoEffectReason } from "./field.ts";
import { type FieldPath, fieldAt } from "./fields.ts";

/** The headings of --help, in order. Flags without effect come after them. */
export const HELP_GROUPS = {
  instead: "Commands that exit when they are done",
  source: "Sources of settings and objects",
  local: "Backend, pod traffic and masquerading",
  nodePorts: "Addresses of this node",
  listen: "Health, metrics and admin API",
  timing: "Timing",
  node: "Conntrack and other node settings",
  log: "Logging",
} as const;

/** One flag. `name` has no dashes. In a given flag, underscores count as dashes. */
export interface Flag {
  readonly name: string;
  readonly type: FieldType;
  /** The fields that it sets. A flag without fields is handled by name or has no effect. */
  readonly fields?: readonly FieldPath[];
  /**
   * Counts together with --config, and overrides the file. kube-proxy ignores all other flags then.
   * Sluice does too, so that a DaemonSet with leftover flags behaves the same.
   */
  readonly withConfig?: true;
  /** Help of a flag without fields, or if it differs from the help of its first field. */
  readonly help?: string;
  /** Placeholder of the value in --help, if not the one of the type. */
  readonly value?: string;
  /** Undefined for flags without effect; `idle` or their fields give the reason. */
  readonly group?: keyof typeof HELP_GROUPS;
  readonly idle?: NoEffectReason;
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
    withConfig: true,
  },
  {
    name: "log-text-split-stream",
    type: "boolean",
    fields: ["logging.options.text.splitStream"],
    withConfig: true,
  },
  {
    name: "log-text-info-buffer-size",
    type: "quantity",
    fields: ["logging.options.text.infoBufferSize"],
    withConfig: true,
  },
  {
    name: "log-json-split-stream",
    type: "boolean",
    fields: ["logging.options.json.splitStream"],
    withConfig: true,
  },
  {
    name: "log-json-info-buffer-size",
    type: "quantity",
    fields: ["logging.options.json.infoBufferSize"],
    withConfig: true,
  },
  { name: "boot-id-file", type: "string", withConfig: true, idle: "leftover" },
  { name: "machine-id-file", type: "string", withConfig: true, idle: "leftover" },
];

/** In the order of --help. Flags without effect come last. */
export const FLAGS: readonly Flag[] = [
  ...inGroup("instead", [
    { name: "help", type: "boolean", help: "print this help; also -h" },
    {
      name: "version",
      type: "string",
      value: "",
      help: "print the version. --version=raw adds the Bun version and the platform",
    },
    {
      name: "write-config-to",
      type: "string",
      value: "FILE",
      help: "write the configuration that results from the file and the other flags to FILE",
    },
    {
      name: "cleanup",
      type: "boolean",
      help: "remove all rules of Sluice (stop it first) and kube-proxy from the kernel. With --remove-kube-proxy-rules=false, only Sluice's rules",
    },
    {
      name: "init-only",
      type: "boolean",
      help: "change the kernel settings that need full privileges. Afterwards Sluice needs only CAP_NET_ADMIN, and CAP_NET_RAW for iptables-legacy",
    },
  ]),
  ...inGroup("source", [
    {
      name: "config",
      type: "string",
      value: "FILE",
      help: "KubeProxyConfiguration file, YAML or JSON. Sluice reloads it when it changes",
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
      withConfig: true,
      help: "URL of the API server, instead of the kubeconfig's",
    },
    {
      name: "manifests",
      type: "string",
      value: "DIR",
      fields: ["sluice.manifests"],
      withConfig: true,
    },
    {
      name: "hostname-override",
      type: "string",
      value: "NAME",
      fields: ["hostnameOverride"],
      withConfig: true,
    },
    {
      name: "feature-gates",
      type: "gates",
      value: "NAME=BOOL,...",
      fields: ["featureGates"],
      help: "AllowServiceExternalIPs (default true), WatchListClient (default false). Other gates have no effect",
    },
  ]),
  ...inGroup("local", [
    {
      name: "proxy-mode",
      type: "string",
      value: "MODE",
      fields: ["mode"],
      help: "nftables, iptables, or auto (nftables if the kernel supports it, otherwise iptables). ipvs means auto",
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
      help: "bit of the packet mark that requests masquerading, 0 to 31. In mode nftables only the file can set it, as in kube-proxy",
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
      help: "address of /healthz and /livez",
    },
    {
      name: "metrics-bind-address",
      type: "string",
      value: "IP[:PORT]",
      fields: ["metricsBindAddress"],
      help: "address of /metrics, /configz and /proxyMode",
    },
    {
      name: "admin-bind-address",
      type: "string",
      value: "IP:PORT",
      fields: ["sluice.adminBindAddress"],
      withConfig: true,
      help: "address of the paths under /sluice/v1",
    },
    { name: "bind-address-hard-fail", type: "boolean", fields: ["bindAddressHardFail"] },
    {
      name: "counters",
      type: "boolean",
      fields: ["sluice.counters"],
      withConfig: true,
    },
    {
      name: "endpoint-metrics-limit",
      type: "integer",
      fields: ["sluice.endpointMetricsLimit"],
      withConfig: true,
    },
    { name: "profiling", type: "boolean", fields: ["enableProfiling"] },
    {
      name: "healthz-port",
      type: "integer",
      help: "deprecated: port for --healthz-bind-address if it has none. 0 disables the health server",
    },
    {
      name: "metrics-port",
      type: "integer",
      help: "deprecated: port for --metrics-bind-address if it has none",
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
      help: "minimum time between two syncs",
    },
    {
      name: "ipvs-sync-period",
      type: "duration",
      fields: ["ipvs.syncPeriod"],
      help: "same as --iptables-sync-period, for mode ipvs",
    },
    {
      name: "ipvs-min-sync-period",
      type: "duration",
      fields: ["ipvs.minSyncPeriod"],
      help: "same as --iptables-min-sync-period, for mode ipvs",
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
      withConfig: true,
    },
    { name: "oom-score-adj", type: "integer", fields: ["oomScoreAdj"] },
    {
      name: "remove-kube-proxy-rules",
      type: "boolean",
      fields: ["sluice.removeKubeProxyRules"],
      withConfig: true,
    },
  ]),
  ...inGroup("log", [
    { name: "v", type: "integer", fields: ["logging.verbosity"], withConfig: true },
    {
      name: "vmodule",
      type: "vmodule",
      value: "FILE=N,...",
      fields: ["logging.vmodule"],
      withConfig: true,
      help: "higher log levels for single source files, such as telemetry=2,event*=2. Takes precedence over the list in the configuration file",
    },
    {
      name: "logging-format",
      type: "string",
      value: "FORMAT",
      fields: ["logging.format"],
      withConfig: true,
    },
  ]),
  ...FLAGS_WITHOUT_EFFECT,
];

/** Returns a flag as in a command line: `-v`, `--config`. */
export function printFlagName(name: string): string {
  return name === "v" ? "-v" : `--${name}`;
}

/** Returns why a flag has no effect; undefined if it has one. */
export function reasonOf({ idle, fields = [] }: Flag): NoEffectReason | undefined {
  const [first] = fields;
  return first === undefined ? idle : fieldAt(first).idle;
}

/**
 * Sets the group. Flags that replace the normal run, and --config itself, count with --config.
 */
function inGroup(group: keyof typeof HELP_GROUPS, flags: readonly Omit<Flag, "group">[]): Flag[] {
  return flags.map((flag) => {
    const always = group === "instead" || flag.name === "config";
    return { ...flag, group, ...(always && { withConfig: true as const }) };
  });
}
