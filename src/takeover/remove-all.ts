/** `--cleanup`: takes rules of ours and of kube-proxy's out of the kernel, unless a Sluice needs them. */
import { SluiceError } from "../base/errors.ts";
import { lockNetworkNamespace } from "../host/namespace-lock.ts";
import type { Removal } from "./removal.ts";

/**
 * Removes what a stopped instance and a stopped kube-proxy left behind, which is what `remove` does.
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
