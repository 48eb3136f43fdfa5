/** Runs the real kube-proxy, in any of its modes, in the namespace of a test's control plane. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ControlPlane } from "../../harness/cluster/control-plane.ts";
import { runAsync } from "../../harness/commands.ts";
import { type Daemon, inNamespace, startDaemon } from "../../harness/daemon.ts";

export type Mode = "nftables" | "iptables-nft" | "iptables-legacy";

const CLUSTER_CIDR = "10.244.0.0/16,fd00:10:244::/48";
const HEALTHZ = 10256;
const PATIENCE_MS = 30_000;
/** For `until`: a kube-proxy needs several seconds for its rules. */
export const PATIENT = { limitMs: PATIENCE_MS, pollMs: 20 };

/** Runs it until it reports healthy and `programmed` finds its rules; then kills it. */
export async function leaveRules(
  plane: ControlPlane,
  mode: Mode,
  programmed: () => Promise<boolean>,
): Promise<void> {
  const daemon = await startUpstream(plane, mode);
  try {
    await untilProgrammed(plane, daemon, programmed);
  } finally {
    await daemon.stop("SIGKILL");
  }
}

/** `kubeconfig`: the API server that it uses. */
export async function startUpstream(
  plane: ControlPlane,
  mode: Mode,
  kubeconfig = plane.kubeconfigs.proxy,
): Promise<Daemon> {
  const path = join(plane.workdir, `${mode}.json`);
  const [own, variant] = mode.split("-");
  writeFileSync(
    path,
    JSON.stringify({
      apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
      kind: "KubeProxyConfiguration",
      mode: own,
      hostnameOverride: "node",
      clientConnection: { kubeconfig },
      detectLocalMode: "ClusterCIDR",
      clusterCIDR: CLUSTER_CIDR,
      healthzBindAddress: `0.0.0.0:${HEALTHZ}`,
      metricsBindAddress: "127.0.0.1:10249",
      [own === "nftables" ? "nftables" : "iptables"]: { syncPeriod: "2s" },
      // nf_conntrack_max cannot be set in a network namespace.
      conntrack: { maxPerCore: 0 },
    }),
  );
  const PATH = `${toolsOf(plane.workdir, variant)}:${process.env["PATH"]}`;
  return startDaemon(
    plane.netns.name,
    [join(plane.programs, "kube-proxy"), `--config=${path}`],
    join(plane.workdir, `${mode}.log`),
    { PATH },
  );
}

/**
 * Resolves when `programmed` returns true.
 *
 * @throws Error with the log if it exits before, or takes too long
 */
export async function untilProgrammed(
  plane: ControlPlane,
  daemon: Daemon,
  programmed: () => Promise<boolean>,
): Promise<void> {
  let ended = false;
  daemon.exited.then(() => {
    ended = true;
  });
  const url = `http://${plane.netns.address}:${HEALTHZ}/healthz`;
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const healthy = await fetch(url, { keepalive: false }).then(
      (answer) => answer.ok,
      () => false,
    );
    if (healthy && (await programmed())) return;
    if (ended || performance.now() > deadline) {
      throw new Error(`kube-proxy made no rules:\n${daemon.tail()}`);
    }
    await Bun.sleep(20);
  }
}

/** A folder inside `workdir` with `iptables` of one variant. */
export function toolsOf(workdir: string, variant: string | undefined): string {
  const folder = join(workdir, `tools-${variant}`);
  if (variant === undefined) return folder;
  mkdirSync(folder, { recursive: true });
  for (const family of ["iptables", "ip6tables"]) {
    for (const suffix of ["", "-save", "-restore"]) {
      try {
        symlinkSync(`/usr/sbin/${family}-${variant}${suffix}`, join(folder, `${family}${suffix}`));
      } catch {
        // The log since the last start.
      }
    }
  }
  return folder;
}

/** Runs a command in the namespace of the control plane. */
export function inside(plane: ControlPlane, command: readonly string[], input?: string) {
  return runAsync([...inNamespace(plane.netns.name), ...command], input);
}
