/** Defines the effective configuration that all other parts use. config/ builds it. */
import type { LogSettings, ModuleVerbosity } from "../base/log.ts";
import type { Cidr } from "../net/address.ts";

/** How to recognize pods of this node: kube-proxy's detectLocalMode. */
export type DetectLocalMode =
  | "ClusterCIDR"
  | "NodeCIDR"
  | "BridgeInterface"
  | "InterfaceNamePrefix";

/** Connection tracking settings that are applied at start. 0 leaves the kernel's value. */
export interface ConntrackSettings {
  /** Entries per CPU, and the total minimum. The minimum applies only if maxPerCore is set. */
  readonly maxPerCore: number;
  readonly min: number;
  readonly tcpBeLiberal: boolean;
  /** Timeouts of entries, in milliseconds. */
  readonly tcpEstablishedMs: number;
  readonly tcpCloseWaitMs: number;
  readonly udpMs: number;
  readonly udpStreamMs: number;
}

/** JSON in kube-proxy's format: `KubeProxyConfiguration` of kubeproxy.config.k8s.io/v1alpha1. */
export interface KubeProxyConfiguration {
  readonly apiVersion: string;
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** Our own section of the file, as JSON. */
export interface SluiceConfiguration {
  readonly [field: string]: unknown;
}

export interface Config {
  /**
   * Path of a kubeconfig. If this and `master` are "", the pod's service account is used. Always ""
   * with `manifests`, which need none.
   */
  readonly kubeconfig: string;
  /** URL that replaces the kubeconfig's server; "" for none. */
  readonly master: string;
  /** Name of this Node in lower case; "" for the machine's host name. */
  readonly hostnameOverride: string;
  /** Overrides the node's primary IP unless unspecified. Nothing listens on it. */
  readonly bindAddress: string;
  /** `ip:port`; "" disables the health server. */
  readonly healthzBindAddress: string;
  /** `ip:port`. */
  readonly metricsBindAddress: string;
  /** `ip:port` of the paths under /sluice/v1; "" serves them on metricsBindAddress. */
  readonly adminBindAddress: string;
  /** Exit if one of these addresses cannot be bound, instead of retrying. */
  readonly bindAddressHardFail: boolean;
  readonly detectLocal: {
    readonly mode: DetectLocalMode;
    /** Each of the two names is set only in the mode of the same name. Otherwise it is "". */
    readonly bridgeInterface: string;
    readonly interfaceNamePrefix: string;
  };
  /**
   * Pod ranges of the whole cluster, at most one per family. Empty unless the mode is ClusterCIDR.
   */
  readonly clusterCIDRs: readonly Cidr[];
  /**
   * The addresses of the node that serve node ports: the primary ones, or those inside `cidrs`. If
   * a family has no range, all its addresses serve.
   */
  readonly nodePortAddresses: { readonly primary: boolean; readonly cidrs: readonly Cidr[] };
  /** Bit of the packet mark, 0 to 31. */
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
  /**
   * The backend. `auto` uses nftables if the kernel supports it, otherwise iptables. A field of one
   * backend counts if that backend is used.
   */
  readonly mode: "nftables" | "iptables" | "auto";
  /** With iptables, also serve node ports on 127.0.0.0/8, which requires route_localnet. */
  readonly localhostNodePorts: boolean;
  /**
   * Whether to drop forwarded packets that conntrack considers invalid; `auto` depends on the
   * kernel.
   */
  readonly dropInvalid: "auto" | "always" | "never";
  /** Whether to serve externalIPs of Services: the feature gate AllowServiceExternalIPs. */
  readonly externalIPs: boolean;
  readonly conntrack: ConntrackSettings;
  /** -1000 to 1000, written to the process's oom_score_adj. */
  readonly oomScoreAdj: number;
  /** Remove kube-proxy's leftovers from the kernel once our rules are in it. */
  readonly removeKubeProxyRules: boolean;
  /** Minimum time between two syncs, in ms. 0 applies a change at once. */
  readonly minSyncMs: number;
  /** Longest wait before a retry, in ms. The proxy is unhealthy if a change waits twice as long. */
  readonly syncPeriodMs: number;
  /** klog's -v: 0 to 10. */
  readonly verbosity: number;
  readonly vmodule: readonly ModuleVerbosity[];
  readonly logFormat: "text" | "json";
  /** Serve the diagnostics of /debug on the metrics address. */
  readonly profiling: boolean;
  /** Fetch initial states by WatchList instead of list: the feature gate WatchListClient. */
  readonly watchList: boolean;
  /** Count new connections on map elements. */
  readonly counters: boolean;
  /**
   * Directory of Services, EndpointSlices and Nodes to serve instead of an API server; "" for none.
   */
  readonly manifests: string;
  /** Maximum number of series of sluice_endpoint_connections_total; 0 for none. */
  readonly endpointMetricsLimit: number;
  /**
   * kube-proxy's fields with effective values: the part of /configz under kubeproxy.config.k8s.io.
   */
  readonly document: KubeProxyConfiguration;
  /** The fields of our own section with effective values: the part of /configz under sluice. */
  readonly ownDocument: SluiceConfiguration;
}

export function logSettings(config: Config): LogSettings {
  const { verbosity, logFormat, vmodule } = config;
  return { verbosity, format: logFormat, vmodule };
}
