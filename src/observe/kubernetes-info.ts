/** What this is, by the names every component of Kubernetes tells it (component-base/metrics/prometheus). */
import type { Config } from "../config.ts";
import { Gauge, type Instrument } from "./instruments.ts";

/** The release of kube-proxy whose behaviour is ours. */
export const EMULATED_VERSION = "1.36";

const BUILD_INFO_HELP =
  "[BETA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.";

/** kubernetes_build_info with our own version, and kubernetes_feature_enabled for the gates that mean something here. */
export function kubernetesInfo(version: string, config: Config): Instrument[] {
  const build = new Gauge({
    name: "kubernetes_build_info",
    help: BUILD_INFO_HELP,
    labels: [
      "major",
      "minor",
      "git_version",
      "git_commit",
      "git_tree_state",
      "build_date",
      "go_version",
      "compiler",
      "platform",
    ],
  });
  const [major = "", minor = ""] = /^(\d+)\.(\d+)/.exec(version)?.slice(1) ?? [];
  build.set(1, major, minor, version, "", "", "", `bun${Bun.version}`, "bun", platform());
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
