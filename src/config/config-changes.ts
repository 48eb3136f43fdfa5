/** Compares two configurations and tells which changes a running process can apply. */
import type { Config } from "./config.ts";

/** A member of Config that affects behavior. The two documents only show the other members. */
export type Setting = Exclude<keyof Config, "document" | "ownDocument">;

export interface ConfigChange {
  readonly setting: Setting;
  /** The name in the configuration file. */
  readonly name: string;
  /** True if the running process can apply it; otherwise only a new process can. */
  readonly live: boolean;
}

interface SettingRule {
  readonly name: string;
  readonly live: boolean;
}

/**
 * The source of objects and the node's identity are not live, because every part depends on them.
 * `counters` is not live, because it changes the format of the kernel's maps.
 */
const RULES: { readonly [setting in Setting]: SettingRule } = {
  kubeconfig: { name: "clientConnection.kubeconfig", live: false },
  master: { name: "--master", live: false },
  hostnameOverride: { name: "hostnameOverride", live: false },
  manifests: { name: "sluice.manifests", live: false },
  watchList: { name: "featureGates.WatchListClient", live: false },
  counters: { name: "sluice.counters", live: false },
  mode: { name: "mode", live: false },
  localhostNodePorts: { name: "iptables.localhostNodePorts", live: true },
  detectLocal: { name: "detectLocal", live: true },
  clusterCIDRs: { name: "clusterCIDR", live: true },
  nodePortAddresses: { name: "nodePortAddresses", live: true },
  bindAddress: { name: "bindAddress", live: true },
  healthzBindAddress: { name: "healthzBindAddress", live: true },
  metricsBindAddress: { name: "metricsBindAddress", live: true },
  adminBindAddress: { name: "sluice.adminBindAddress", live: true },
  bindAddressHardFail: { name: "bindAddressHardFail", live: true },
  masqueradeBit: { name: "nftables.masqueradeBit", live: true },
  masqueradeAll: { name: "nftables.masqueradeAll", live: true },
  minSyncMs: { name: "nftables.minSyncPeriod", live: true },
  syncPeriodMs: { name: "nftables.syncPeriod", live: true },
  dropInvalid: { name: "sluice.dropInvalidPackets", live: true },
  externalIPs: { name: "featureGates.AllowServiceExternalIPs", live: true },
  conntrack: { name: "conntrack", live: true },
  oomScoreAdj: { name: "oomScoreAdj", live: true },
  removeKubeProxyRules: { name: "sluice.removeKubeProxyRules", live: true },
  verbosity: { name: "logging.verbosity", live: true },
  vmodule: { name: "logging.vmodule", live: true },
  logFormat: { name: "logging.format", live: true },
  profiling: { name: "enableProfiling", live: true },
  endpointMetricsLimit: { name: "sluice.endpointMetricsLimit", live: true },
};

/**
 * Returns the settings that differ, in no particular order. If there are none, both configurations
 * behave the same, even if their documents differ.
 */
export function changesBetween(before: Config, after: Config): ConfigChange[] {
  return Object.entries(RULES).flatMap(([key, { name, live }]) => {
    const setting = key as Setting;
    if (JSON.stringify(before[setting]) === JSON.stringify(after[setting])) return [];
    // A setting of both sections gets the name in the section that counts; in mode auto, the
    // nftables name.
    const shown = after.mode === "iptables" ? name.replace(/^nftables\./, "iptables.") : name;
    return [{ setting, name: shown, live }];
  });
}
