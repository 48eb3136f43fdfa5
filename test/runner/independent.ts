/**
 * Which test files may run at the same time. Their tests touch nothing that another process could
 * notice. All others (kernel, control plane, the compiled binary) run one file at a time.
 */

/** Folders of test/. */
export const INDEPENDENT_FOLDERS: readonly string[] = [
  "admin",
  "api-client",
  "asm",
  "base",
  "config",
  "events",
  "manifests",
  "model",
  "net",
  "observe",
  "os",
  "plan",
  "problems",
  "property",
  "prose",
  "runner",
  "source",
  "state",
  "sync",
  "tidy",
  "trace",
  "watch",
];

/** Folders of test/ whose files run one at a time, but for those of INDEPENDENT_FILES. */
export const EXCLUSIVE_FOLDERS: readonly string[] = [
  "build",
  "conntrack",
  "daemon",
  "demo",
  "deploy",
  "harness",
  "host",
  "iptables",
  "netlink",
  "nftables",
  "takeover",
  "traffic",
];

export const INDEPENDENT_FILES: readonly string[] = [
  "test/daemon/admin-due.test.ts",
  "test/daemon/choose-source.test.ts",
  "test/daemon/daemon.test.ts",
  "test/daemon/telemetry.test.ts",
];

/** May this file run beside others? `path` is relative to the root: `test/plan/plan.test.ts`. */
export function isIndependent(path: string): boolean {
  const [, folder = ""] = path.split("/");
  return INDEPENDENT_FOLDERS.includes(folder) || INDEPENDENT_FILES.includes(path);
}
