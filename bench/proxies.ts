/** Starts and configures the proxies to measure: Sluice and kube-proxy. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ControlPlane } from "../harness/cluster/control-plane.ts";
import { POD_CIDR } from "../harness/cluster/many-objects.ts";
import { runAsync } from "../harness/commands.ts";
import { type Daemon, inNamespace, startDaemon } from "../harness/daemon.ts";

/** A proxy to measure. */
export interface Contestant {
  readonly name: string;
  readonly executable: string;
  /** The words of a command line that run it, for example with an environment. */
  readonly through?: readonly string[];
  /** `sluice 0.1.0`. */
  version(): Promise<string>;
  /** Location of the clusterIPs in nft: family, table, set. */
  readonly clusterIps: readonly string[];
  /**
   * Minimum time between two syncs, in milliseconds. Single changes are measured at this distance.
   */
  readonly rest: number;
}

export const NODE = "bench-node";

/** The binary dist/sluice. */
export function sluice(root: string): Contestant {
  const executable = join(root, "dist/sluice");
  return {
    name: "sluice",
    executable,
    version: async () => (await runAsync([executable, "--version"])).trim(),
    clusterIps: ["inet", "sluice", "cluster-ips4"],
    rest: 50,
  };
}

/** Upstream's kube-proxy in nftables mode, with its own defaults. */
export function upstream(plane: ControlPlane): Contestant {
  const executable = join(plane.programs, "kube-proxy");
  return {
    name: "kube-proxy",
    executable,
    version: async () => (await runAsync([executable, "--version"])).trim(),
    clusterIps: ["ip", "kube-proxy", "cluster-ips"],
    // minSyncPeriod is 1 s, so a change within that time after another one has to wait by design.
    rest: 1100,
  };
}

/** The same configuration for all. */
export function writeConfiguration(
  plane: ControlPlane,
  mode: "nftables" | "iptables" = "nftables",
): string {
  mkdirSync(plane.workdir, { recursive: true });
  const path = join(plane.workdir, "proxy.yaml");
  writeFileSync(
    path,
    JSON.stringify({
      apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
      kind: "KubeProxyConfiguration",
      mode,
      hostnameOverride: NODE,
      clientConnection: { kubeconfig: plane.kubeconfigs.proxy },
      detectLocalMode: "ClusterCIDR",
      clusterCIDR: POD_CIDR,
      iptables: { localhostNodePorts: false },
      healthzBindAddress: "0.0.0.0:10256",
      metricsBindAddress: "0.0.0.0:10249",
      // nf_conntrack_max cannot be set in a network namespace.
      conntrack: { maxPerCore: 0 },
    }),
  );
  return path;
}

/** Starts it in the control plane's namespace. */
export function startProxy(contestant: Contestant, plane: ControlPlane): Daemon {
  if (!existsSync(contestant.executable)) {
    throw new Error(`measure ${contestant.name}: ${contestant.executable}: no such file`);
  }
  const config = join(plane.workdir, "proxy.yaml");
  return startDaemon(
    plane.netns.name,
    [...(contestant.through ?? []), contestant.executable, `--config=${config}`],
    join(plane.workdir, `${contestant.name}.log`),
  );
}

/**
 * Resolves when its health server reports success.
 *
 * @throws Error if it exits before, or after `timeoutMs`
 */
export async function untilHealthy(
  daemon: Daemon,
  plane: ControlPlane,
  timeoutMs: number,
): Promise<number> {
  let ended = false;
  daemon.exited.then(() => {
    ended = true;
  });
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const status = await fetch(`http://${plane.netns.address}:10256/healthz`, {
      keepalive: false,
    }).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status === 200) return performance.timeOrigin + performance.now();
    if (ended) throw new Error(`It ended:\n${daemon.tail()}`);
    if (performance.now() > deadline) throw new Error(`Not healthy in time:\n${daemon.tail()}`);
    // Polls rarely, because the two processors are for the proxy.
    await Bun.sleep(10);
  }
}

/** Removes every rule and every connection of the namespace. */
export async function removeAllRules(plane: ControlPlane): Promise<void> {
  await runAsync([...inNamespace(plane.netns.name), "nft", "flush", "ruleset"]);
  await runAsync([...inNamespace(plane.netns.name), "conntrack", "-F"]);
}

/** Number of clusterIPs of this proxy in the kernel. */
export async function programmedIps(plane: ControlPlane, contestant: Contestant): Promise<number> {
  const nft = ["nft", "list", "set", ...contestant.clusterIps];
  // This fails before the table exists.
  const listing = await runAsync([...inNamespace(plane.netns.name), ...nft]).catch(() => "");
  return listing.match(/\d+\.\d+\.\d+\.\d+/g)?.length ?? 0;
}
