/** `--cleanup`, wired: our table, and what kube-proxy left. */
import { cleanUp } from "./apply/cleanup.ts";
import { findLiving, nameOf } from "./apply/kube-proxy/processes.ts";
import { NOTHING, type Removal } from "./apply/kube-proxy/removal.ts";
import { removeKubeProxyRules } from "./apply/kube-proxy/remove.ts";
import { createNftablesBackend } from "./apply/nftables/backend.ts";
import { systemClock } from "./clock.ts";
import { SluiceError } from "./errors.ts";

/** Lines to print of what was done, and of what failed. */
export interface RemovalReport {
  readonly lines: readonly string[];
  readonly errors: readonly string[];
}

/**
 * `keepKubeProxy`: our table alone. What a kube-proxy that runs has in the kernel stays too, which is an error.
 * @throws SluiceError ALREADY_RUNNING, before anything was touched
 */
export async function removeEverything(keepKubeProxy: boolean): Promise<RemovalReport> {
  // Which rules it would make does not matter to a backend that only removes them.
  const backend = createNftablesBackend({
    masqueradeBit: 0,
    masqueradeAll: false,
    dropInvalid: false,
    counters: false,
    detector: { kind: "cidr" },
  });
  // Waits between two transactions hold no process alive.
  const alive = setInterval(() => {}, 1000);
  try {
    const { removed, notes, failures } = await cleanUp(backend, async () =>
      keepKubeProxy ? NOTHING : await removeOthers(),
    );
    const lines = [...removed.map((what) => `Removed ${what}`), ...notes];
    if (lines.length === 0 && failures.length === 0) lines.push("There was nothing to remove");
    return { lines, errors: failures.map(({ message }) => message) };
  } finally {
    clearInterval(alive);
    backend.close();
  }
}

async function removeOthers(): Promise<Removal> {
  const { pids } = await findLiving();
  if (pids.length === 0) return removeKubeProxyRules({ clock: systemClock, keepNeeded: false });
  // It would not put them back before its next full sync: an hour.
  const message = `Cannot remove kube-proxy's rules: ${nameOf(pids)} runs here: its rules stay; stop it first`;
  return { ...NOTHING, failures: [new SluiceError("OTHER_PROXY", message, "kube-proxy")] };
}
