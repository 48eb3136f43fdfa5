/** `--cleanup`: takes our rules out of the kernel, unless somebody needs them, and what kube-proxy left in it. */
import { SluiceError } from "../errors.ts";
import type { Backend } from "./backend.ts";
import { NOTHING, type Removal, together } from "./kube-proxy/removal.ts";
import { lockNetworkNamespace } from "./lock.ts";

/**
 * Removes what a stopped instance and a stopped kube-proxy left behind; `removeOthers` does the latter. What
 * fails keeps nothing else from being removed.
 * @throws SluiceError ALREADY_RUNNING, before anything was touched
 */
export async function cleanUp(
  backend: Pick<Backend, "cleanup">,
  removeOthers: () => Promise<Removal>,
): Promise<Removal> {
  const unlock = lockForCleanup();
  try {
    return together([removeOwn(backend), await removeOthers()]);
  } finally {
    unlock();
  }
}

function removeOwn(backend: Pick<Backend, "cleanup">): Removal {
  try {
    const outcome = backend.cleanup();
    if (outcome === "removed") return { ...NOTHING, removed: ["the table inet sluice"] };
    if (outcome === "absent") return NOTHING;
    throw new SluiceError(
      "TABLE_FOREIGN",
      "Cannot remove table inet sluice: sluice must have made it: its comment says that somebody else did",
      "table inet sluice",
    );
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return { ...NOTHING, failures: [error] };
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
