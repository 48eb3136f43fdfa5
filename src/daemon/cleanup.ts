/** `--cleanup`, wired: rules that we made, in any mode, and those that kube-proxy left. */

import { systemClock } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { lockNetworkNamespace } from "../host/namespace-lock.ts";
import { legacyTables } from "../takeover/find-rules.ts";
import { findKubeProxyProcesses, nameProcesses } from "../takeover/kube-proxy-processes.ts";
import type { Removal } from "../takeover/removal.ts";
import { removeKubeProxyRules } from "../takeover/remove-rules.ts";
import { ALL_ORIGINS, SLUICE_ORIGINS } from "../takeover/rule-origin.ts";
import { type Successor, servedByKubeProxy } from "../takeover/successor.ts";

/** Lines to print of what was done, and of what failed. */
export interface RemovalReport {
  readonly lines: readonly string[];
  readonly errors: readonly string[];
}

/**
 * `keepKubeProxy`: only what we made. What a kube-proxy that runs has in the kernel stays too,
 * which is an error; and as long as it has nothing there, so does what we made.
 * @throws SluiceError ALREADY_RUNNING, before anything was touched; and when it cannot be told what
 * a kube-proxy has
 */
export async function removeEverything(keepKubeProxy: boolean): Promise<RemovalReport> {
  // Waits between two transactions hold no process alive.
  const alive = setInterval(() => {}, 1000);
  try {
    const { removed, notes, failures } = await cleanUp(() => removeAll(keepKubeProxy));
    const lines = [...removed.map((what) => `Removed ${what}`), ...notes];
    if (lines.length === 0 && failures.length === 0) lines.push("There was nothing to remove");
    return { lines, errors: failures.map(({ message }) => message) };
  } finally {
    clearInterval(alive);
  }
}

async function removeAll(keepKubeProxy: boolean): Promise<Removal> {
  const { pids } = await findKubeProxyProcesses();
  const successor = pids.length > 0 ? await successorOf(pids) : undefined;
  const keeps = keepKubeProxy || successor !== undefined;
  const options = { clock: systemClock, keepNeeded: false, firewall: !keeps, successor };
  const removal = await removeKubeProxyRules(options, keeps ? SLUICE_ORIGINS : ALL_ORIGINS);
  if (keepKubeProxy || successor === undefined) return removal;
  // It would not put them back before its next full sync: an hour.
  const message = `Cannot remove kube-proxy's rules: ${successor.name} runs here: its rules stay; stop it first`;
  const error = new SluiceError("OTHER_PROXY", message, "kube-proxy");
  return { ...removal, failures: [...removal.failures, error] };
}

async function successorOf(pids: readonly number[]): Promise<Successor> {
  return {
    name: nameProcesses(pids),
    families: await servedByKubeProxy(systemClock, legacyTables()),
  };
}

/**
 * Removes what a stopped instance and a stopped kube-proxy left behind, which is what `remove`
 * does.
 * @throws SluiceError ALREADY_RUNNING, before anything was touched
 */
export async function cleanUp(remove: () => Promise<Removal>): Promise<Removal> {
  const unlock = lockForCleanup();
  try {
    return await remove();
  } finally {
    unlock();
  }
}

/** A running instance would take the removal for damage, and put everything back. */
function lockForCleanup(): () => void {
  try {
    return lockNetworkNamespace();
  } catch (error) {
    if (!(error instanceof SluiceError) || error.code !== "ALREADY_RUNNING") throw error;
    const message = "Cannot clean up: another sluice holds the network namespace; stop it first";
    throw new SluiceError("ALREADY_RUNNING", message, undefined, { cause: error });
  }
}
