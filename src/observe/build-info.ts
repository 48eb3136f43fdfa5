/** What this is. Not by kubernetes_build_info: whoever counts the versions in a cluster by it would count ours too. */
import type { Config } from "../config/config.ts";
import { Gauge, type Instrument } from "./instruments.ts";

/** The release of kube-proxy whose behaviour is ours. */
export const EMULATED_VERSION = "1.36";

/** Our version, and kubernetes_feature_enabled (component-base/metrics) for the gates that mean something here. */
export function buildInfo(version: string, config: Config): Instrument[] {
  const build = new Gauge({
    name: "sluice_build_info",
    help: "1; the version of Sluice, the Bun it is made of, and the machine it is made for",
    labels: ["version", "bun", "platform"],
  });
  build.set(1, version, Bun.version, platform());
  const feature = new Gauge({
    name: "kubernetes_feature_enabled",
    help: "[BETA] This metric records the data about the stage and enablement of a k8s feature.",
    labels: ["name", "stage"],
  });
  for (const [name, stage, enabled] of gates(config)) feature.set(enabled ? 1 : 0, name, stage);
  return [build, feature];
}

/** As Go names it: `linux/amd64`. */
function platform(): string {
  return `${process.platform}/${process.arch === "x64" ? "amd64" : process.arch}`;
}

/** Stages are those of Kubernetes 1.36; "" is GA. */
function gates(config: Config): readonly (readonly [name: string, stage: string, on: boolean])[] {
  return [
    ["AllowServiceExternalIPs", "", config.externalIPs],
    ["ComponentFlagz", "BETA", true],
    ["ComponentStatusz", "BETA", true],
    ["MultiCIDRServiceAllocator", "", true],
    ["NFTablesProxyMode", "", true],
    ["PreferSameTrafficDistribution", "", true],
    ["WatchListClient", "BETA", config.watchList],
  ];
}
