/** What the kernel answers, and what it means to us. */
import { type ErrorCode, SluiceError } from "../base/errors.ts";
import {
  EACCES,
  EADDRINUSE,
  EAGAIN,
  EBUSY,
  EEXIST,
  EINTR,
  EINVAL,
  EMSGSIZE,
  ENOBUFS,
  ENOENT,
  ENOMEM,
  EOPNOTSUPP,
  EPERM,
  EPROTONOSUPPORT,
} from "./constants.ts";

const TEXTS = new Map<number, string>([
  [EPERM, "EPERM, not permitted"],
  [ENOENT, "ENOENT, no such object"],
  [EINTR, "EINTR, interrupted"],
  [EAGAIN, "EAGAIN, no answer"],
  [ENOMEM, "ENOMEM, out of memory"],
  [EACCES, "EACCES, not permitted"],
  [EBUSY, "EBUSY, in use"],
  [EEXIST, "EEXIST, exists already"],
  [EINVAL, "EINVAL, invalid"],
  [EMSGSIZE, "EMSGSIZE, too long for the socket"],
  [EPROTONOSUPPORT, "EPROTONOSUPPORT, no such protocol in this kernel"],
  [EOPNOTSUPP, "EOPNOTSUPP, not supported"],
  [EADDRINUSE, "EADDRINUSE, in use"],
  [ENOBUFS, "ENOBUFS, buffer overrun"],
]);

/** `ENOENT, no such object`; unknown numbers as they are. */
export function errnoText(errno: number): string {
  return TEXTS.get(errno) ?? `errno ${errno}`;
}

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

/** Nothing is wrong with what was asked: the same may succeed later. */
export function isTransient(errno: number): boolean {
  return errno === EINTR || errno === EAGAIN || errno === ENOBUFS || errno === ENOMEM;
}

/** The errno behind an error of this folder. */
export function errnoOf(error: unknown): number | undefined {
  return error instanceof SluiceError && typeof error.cause === "number" ? error.cause : undefined;
}

/** `what` completes "Cannot"; the code is PERMISSION_DENIED where that is the reason. The cause is the errno. */
export function systemError(
  what: string,
  errno: number,
  code: ErrorCode = "NETLINK_SOCKET",
  text = errnoText(errno),
): SluiceError {
  if (errno === EPERM || errno === EACCES) {
    const rule = "CAP_NET_ADMIN is needed in this network namespace";
    return new SluiceError(
      "PERMISSION_DENIED",
      `Cannot ${what}: ${rule}: the kernel says ${text}`,
      undefined,
      { cause: errno },
    );
  }
  return new SluiceError(code, `Cannot ${what}: the kernel says ${text}`, undefined, {
    cause: errno,
  });
}
