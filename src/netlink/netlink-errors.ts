/** A netlink request that the kernel refused. */
import { errnoText, type SystemError, systemError } from "../os/system-error.ts";

/** One refusal: NLMSG_ERROR with its extended ack. */
export interface Refusal {
  /** Positive. */
  readonly errno: number;
  /** Sequence number of the message it is about. */
  readonly sequence: number;
  /** NLMSGERR_ATTR_OFFS: where in that message the attribute at fault starts. */
  readonly offset: number | undefined;
  /** NLMSGERR_ATTR_MSG. */
  readonly text: string | undefined;
}

/** `ENOENT, no such object (the kernel's own words)` */
export function printRefusal(refusal: Refusal): string {
  const text = errnoText(refusal.errno);
  return refusal.text === undefined ? text : `${text} (${refusal.text})`;
}

/** NETLINK_REFUSED, or PERMISSION_DENIED; `what` completes "Cannot". */
export function refusalError(what: string, refusal: Refusal): SystemError {
  return systemError(what, refusal.errno, "NETLINK_REFUSED", printRefusal(refusal));
}
