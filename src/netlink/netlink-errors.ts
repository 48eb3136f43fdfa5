/** Describes netlink requests that the kernel refused. */
import { errnoText, type SystemError, systemError } from "../os/system-error.ts";

/** One refusal: NLMSG_ERROR with its extended ack. */
export interface Refusal {
  /** A positive error number. */
  readonly errno: number;
  /** Sequence number of the refused message. */
  readonly sequence: number;
  /** NLMSGERR_ATTR_OFFS: offset of the attribute at fault in that message. */
  readonly offset: number | undefined;
  /** NLMSGERR_ATTR_MSG. */
  readonly text: string | undefined;
}

/** Returns `no such file or directory (ENOENT)`, with the message of the kernel if there is one. */
export function printRefusal(refusal: Refusal): string {
  const text = errnoText(refusal.errno);
  return refusal.text === undefined ? text : `${text}: ${refusal.text}`;
}

/**
 * Creates the error for a refusal: NETLINK_REFUSED or PERMISSION_DENIED. `what` names operation and
 * object.
 */
export function refusalError(what: string, refusal: Refusal): SystemError {
  return systemError(what, refusal.errno, "NETLINK_REFUSED", printRefusal(refusal));
}
