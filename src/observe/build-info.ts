/**
 * Reports the build and the feature gates. It does not use kubernetes_build_info: a count of
 * versions in the cluster by that metric would include Sluice.
 */
import type { Config } from "../config/config.ts";
import { Gauge, type Instrument } from "./instruments.ts";

/** The kube-proxy release that Sluice follows. */
export const EMULATED_VERSION = "1.36";

/**
 * Returns sluice_build_info and kubernetes_feature_enabled (component-base/metrics), the latter for
 * the gates that affect Sluice.
 */
export function buildInfo(version: string, config: Config): Instrument[] {
  const build = new Gauge({
    name: "sluice_build_info",
    help: "Constant 1, with the version of Sluice, the version of Bun, and the platform",
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

/**
 * Returns the User-Agent of requests to the API server. Its first product is kube-proxy's, because
 * caches such as yurthub keep objects by the name of the component.
 */
export function userAgent(version: string): string {
  return `kube-proxy/v${EMULATED_VERSION} (${platform()}) sluice/${version.replaceAll(" ", "-")}`;
}

/** Returns the platform as Go names it, for example `linux/amd64`. */
function platform(): string {
  return `${process.platform}/${process.arch === "x64" ? "amd64" : process.arch}`;
}

/** Stages as in Kubernetes 1.36. "" stands for GA. */
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
