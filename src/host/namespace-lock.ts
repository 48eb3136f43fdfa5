/** Locks the network namespace for one instance, because two would undo each other's work. */
import { SluiceError } from "../base/errors.ts";
import * as libc from "../os/libc.ts";
import { AF_UNIX, EADDRINUSE, SOCK_CLOEXEC, SOCK_DGRAM } from "../os/posix.ts";
import { systemError } from "../os/system-error.ts";

/** An abstract socket name. It belongs to the network namespace and disappears with the process. */
const NAME = "@sluice-kube-proxy";

/**
 * Takes the lock. The returned function releases it, as does the end of the process.
 * @throws SluiceError ALREADY_RUNNING
 */
export function lockNetworkNamespace(): () => void {
  const what = "lock network namespace";
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw systemError(what, -fd);
  const result = libc.bind(fd, libc.unixAddress(NAME));
  if (result < 0) {
    libc.close(fd);
    if (result !== -EADDRINUSE) throw systemError(what, -result);
    throw new SluiceError(
      "ALREADY_RUNNING",
      `${what}: another Sluice holds the socket "${NAME}" (only one may run on a node; stop the other)`,
    );
  }
  let isHeld = true;
  return () => {
    if (isHeld) libc.close(fd);
    isHeld = false;
  };
}
