/**
 * Runs `--cleanup`: removes the rules that Sluice made in any mode, and those that kube-proxy left.
 */

import { systemClock } from "../base/clock.ts";
import { SluiceError, withCode } from "../base/errors.ts";
import { lockNetworkNamespace } from "../host/namespace-lock.ts";
import { legacyTables } from "../takeover/find-rules.ts";
import { findKubeProxyProcesses, printProcesses } from "../takeover/kube-proxy-processes.ts";
import type { Removal } from "../takeover/removal.ts";
import { removeKubeProxyRules } from "../takeover/remove-rules.ts";
import { ALL_ORIGINS, SLUICE_ORIGINS } from "../takeover/rule-origin.ts";
import { familiesOfKubeProxy, type Successor } from "../takeover/successor.ts";

/** Lines to print: what was removed, and what failed. */
export interface RemovalReport {
  readonly lines: readonly string[];
  readonly errors: readonly string[];
}

/**
 * Removes all rules. `keepKubeProxy` limits the removal to the rules of Sluice. If a kube-proxy is
 * running, its rules stay, which is reported as an error. While it has no rules in the kernel, the
 * rules of Sluice stay as well.
 * @throws SluiceError ALREADY_RUNNING before anything is touched; other codes if the rules of a
 * running kube-proxy cannot be read
 */
export async function runCleanup(keepKubeProxy: boolean): Promise<RemovalReport> {
  // The timers between two transactions do not keep the process alive; this one does.
  const alive = setInterval(() => {}, 1000);
  try {
    const { removed, messages, failures } = await withCleanupLock(() => removeRules(keepKubeProxy));
    const lines = [...removed.map((what) => `Removed ${what}`), ...messages];
    if (lines.length === 0 && failures.length === 0) lines.push("Nothing to remove");
    return { lines, errors: failures.map(withCode) };
  } finally {
    clearInterval(alive);
  }
}

async function removeRules(keepKubeProxy: boolean): Promise<Removal> {
  const { pids } = await findKubeProxyProcesses();
  const successor = pids.length > 0 ? await readSuccessor(pids) : undefined;
  const keeps = keepKubeProxy || successor !== undefined;
  const options = { clock: systemClock, keepRequired: false, firewall: !keeps, successor };
  const removal = await removeKubeProxyRules(options, keeps ? SLUICE_ORIGINS : ALL_ORIGINS);
  if (keepKubeProxy || successor === undefined) return removal;
  // kube-proxy would repair its rules only at its next full sync, up to one hour later.
  const message = `remove kube-proxy's rules: ${successor.name} is running (stop it first, or keep its rules with --remove-kube-proxy-rules=false)`;
  const error = new SluiceError("OTHER_PROXY", message, "kube-proxy");
  return { ...removal, failures: [...removal.failures, error] };
}

async function readSuccessor(pids: readonly number[]): Promise<Successor> {
  return {
    name: printProcesses(pids),
    families: await familiesOfKubeProxy(systemClock, legacyTables()),
  };
}

/**
 * Removes what stopped instances of Sluice and kube-proxy left behind, by calling `remove` under
 * the lock.
 * @throws SluiceError ALREADY_RUNNING before anything is touched
 */
export async function withCleanupLock(remove: () => Promise<Removal>): Promise<Removal> {
  const unlock = lockForCleanup();
  try {
    return await remove();
  } finally {
    unlock();
  }
}

/** Takes the lock. A running instance would treat the removal as drift and repair it. */
function lockForCleanup(): () => void {
  try {
    return lockNetworkNamespace();
  } catch (error) {
    if (!(error instanceof SluiceError) || error.code !== "ALREADY_RUNNING") throw error;
    const message = "clean up: another Sluice runs in this network namespace (stop it first)";
    throw new SluiceError("ALREADY_RUNNING", message, undefined, { cause: error });
  }
}
