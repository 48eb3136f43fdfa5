/** The effective configuration, as every other part sees it. How it comes about is in config/. */
import type { LogSettings, ModuleVerbosity } from "../base/log.ts";
import type { Cidr } from "../net/address.ts";

/** How pods of this node are told from everybody else; upstream's detectLocalMode. */
export type DetectLocalMode =
  | "ClusterCIDR"
  | "NodeCIDR"
  | "BridgeInterface"
  | "InterfaceNamePrefix";

/** What the node's connection tracking is set to at start; 0 leaves the kernel's value alone. */
export interface ConntrackSettings {
  /** Entries for each processor, and least in all; without the first the second does not count. */
  readonly maxPerCore: number;
  readonly min: number;
  readonly tcpBeLiberal: boolean;
  /** Timeouts of entries, in milliseconds. */
  readonly tcpEstablishedMs: number;
  readonly tcpCloseWaitMs: number;
  readonly udpMs: number;
  readonly udpStreamMs: number;
}

/** JSON in upstream's shape: `KubeProxyConfiguration` of kubeproxy.config.k8s.io/v1alpha1. */
export interface KubeProxyConfiguration {
  readonly apiVersion: string;
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** Our own section of the file, as JSON. */
export interface OwnConfiguration {
  readonly [field: string]: unknown;
}

export interface Config {
  /**
   * Path of a kubeconfig; "" (with `master` "" too) means the pod's own service account. "" beside `manifests`,
   * which need none.
   */
  readonly kubeconfig: string;
  /** URL that replaces the kubeconfig's server; "" means none. */
  readonly master: string;
  /** Name of this Node, lower case; "" means the machine's host name. */
  readonly hostnameOverride: string;
  /** Nothing is bound to it: unless unspecified, it replaces the node's primary IP. */
  readonly bindAddress: string;
  /** `ip:port`; "" turns the health server off. */
  readonly healthzBindAddress: string;
  /** `ip:port`. */
  readonly metricsBindAddress: string;
  /** `ip:port` of the paths under /sluice/v1; "": they are on metricsBindAddress. */
  readonly adminBindAddress: string;
  /** End the process when one of these cannot be bound, rather than trying again. */
  readonly bindAddressHardFail: boolean;
  readonly detectLocal: {
    readonly mode: DetectLocalMode;
    /** Set in the mode that is named like it, else "". So is the next one. */
    readonly bridgeInterface: string;
    readonly interfaceNamePrefix: string;
  };
  /** Pod ranges of the whole cluster, at most one for each family. Empty unless the mode is ClusterCIDR. */
  readonly clusterCIDRs: readonly Cidr[];
  /**
   * Which addresses of the node serve node ports: its primary ones, or those inside `cidrs`. A family
   * without a range serves on all its addresses.
   */
  readonly nodePortAddresses: { readonly primary: boolean; readonly cidrs: readonly Cidr[] };
  /** Bit of the packet mark, 0 to 31. */
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
  /** What serves. `auto`: nftables if the kernel can, else iptables; a field that only one of them has counts if that is taken. */
  readonly mode: "nftables" | "iptables" | "auto";
  /** With iptables, node ports answer on 127.0.0.0/8 too, for which route_localnet is set. */
  readonly localhostNodePorts: boolean;
  /** Packets that connection tracking takes for invalid: never forwarded, always, or as the kernel needs it. */
  readonly dropInvalid: "auto" | "always" | "never";
  /** Services' externalIPs are served: the feature gate AllowServiceExternalIPs. */
  readonly externalIPs: boolean;
  readonly conntrack: ConntrackSettings;
  /** -1000 to 1000, written to the process's oom_score_adj. */
  readonly oomScoreAdj: number;
  /** What kube-proxy has left in the kernel is removed once our rules are in it. */
  readonly removeKubeProxyRules: boolean;
  /** Least time between two syncs; 0: a change is programmed at once. */
  readonly minSyncMs: number;
  /** Longest wait of a retry; changes older than twice this make the proxy unhealthy. */
  readonly syncPeriodMs: number;
  /** klog's -v: 0 to 10. */
  readonly verbosity: number;
  readonly vmodule: readonly ModuleVerbosity[];
  readonly logFormat: "text" | "json";
  /** Serve the diagnostics of /debug on the metrics address. */
  readonly profiling: boolean;
  /** Initial states come by WatchList rather than by a list: the feature gate WatchListClient. */
  readonly watchList: boolean;
  /** Count new connections on map elements. */
  readonly counters: boolean;
  /** Directory of Services, EndpointSlices and Nodes to serve instead of an API server; "" means none. */
  readonly manifests: string;
  /** Most series of sluice_endpoint_connections_total; 0: none. */
  readonly endpointMetricsLimit: number;
  /** All of upstream's fields with the values in effect: what /configz shows under kubeproxy.config.k8s.io. */
  readonly document: KubeProxyConfiguration;
  /** All of our own section's, likewise: what /configz shows under sluice. */
  readonly ownDocument: OwnConfiguration;
}

/** The part that the log reads. */
export function logSettings(config: Config): LogSettings {
  const { verbosity, logFormat, vmodule } = config;
  return { verbosity, format: logFormat, vmodule };
}
