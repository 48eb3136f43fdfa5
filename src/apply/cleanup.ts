/** `--cleanup`: takes our rules out of the kernel, unless somebody needs them. */
import { SluiceError } from "../errors.ts";
import type { Backend } from "./backend.ts";
import { lockNetworkNamespace } from "./lock.ts";

/**
 * Removes what a stopped instance left behind; returns whether there was something.
 * @throws SluiceError ALREADY_RUNNING, TABLE_FOREIGN, NETLINK_REFUSED, PERMISSION_DENIED
 */
export function cleanUp(backend: Pick<Backend, "cleanup">): boolean {
  const unlock = lockForCleanup();
  try {
    const outcome = backend.cleanup();
    if (outcome !== "foreign") return outcome === "removed";
    throw new SluiceError(
      "TABLE_FOREIGN",
      "Cannot remove table inet sluice: sluice must have made it: its comment says that somebody else did",
      "table inet sluice",
    );
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
