/** What differs between two configurations, and what of it a running process can take up. */
import type { Config } from "./config.ts";

/** A member of Config that something depends on; the documents only show what the others say. */
export type Setting = Exclude<keyof Config, "document" | "ownDocument">;

export interface ConfigChange {
  readonly setting: Setting;
  /** As the file calls it. */
  readonly name: string;
  /** The running process can take it up; otherwise only a new one can. */
  readonly live: boolean;
}

interface Rule {
  readonly name: string;
  readonly live: boolean;
}

/**
 * Where objects come from and which node this is decides what every part holds; and whether
 * elements count is part of the shape of the kernel's maps.
 */
const RULES: { readonly [setting in Setting]: Rule } = {
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
 * The settings that differ, in no particular order. None: the two mean the same, whatever their
 * documents show.
 */
export function changesBetween(before: Config, after: Config): ConfigChange[] {
  return Object.entries(RULES).flatMap(([key, { name, live }]) => {
    const setting = key as Setting;
    if (JSON.stringify(before[setting]) === JSON.stringify(after[setting])) return [];
    // What both sections have is called after the one that counts; of both in mode auto, the first.
    const shown = after.mode === "iptables" ? name.replace(/^nftables\./, "iptables.") : name;
    return [{ setting, name: shown, live }];
  });
}
