/** Defines errors of system calls and netlink requests. */
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
} from "./posix.ts";

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

/** Returns `ENOENT, no such object`, or `errno 9999` for a number without a text here. */
export function errnoText(errno: number): string {
  return TEXTS.get(errno) ?? `errno ${errno}`;
}

/** Reports whether the request was valid and may succeed later. */
export function isTransient(errno: number): boolean {
  return errno === EINTR || errno === EAGAIN || errno === ENOBUFS || errno === ENOMEM;
}

/** The kernel refused a request. Create it with `systemError`. */
export class SystemError extends SluiceError {
  /** A positive number. */
  readonly errno: number;

  constructor(code: ErrorCode, message: string, errno: number) {
    super(code, message);
    this.errno = errno;
  }
}

/** Returns the errno of a `SystemError`; undefined for any other value. */
export function errnoOf(error: unknown): number | undefined {
  return error instanceof SystemError ? error.errno : undefined;
}

/**
 * Creates a SystemError. `what` completes "Cannot". For EPERM and EACCES the code is
 * PERMISSION_DENIED, regardless of `code`.
 */
export function systemError(
  what: string,
  errno: number,
  code: ErrorCode = "NETLINK_SOCKET",
  text = errnoText(errno),
): SystemError {
  if (errno === EPERM || errno === EACCES) {
    const rule = "CAP_NET_ADMIN is needed in this network namespace";
    const message = `Cannot ${what}: ${rule}: the kernel says ${text}`;
    return new SystemError("PERMISSION_DENIED", message, errno);
  }
  return new SystemError(code, `Cannot ${what}: the kernel says ${text}`, errno);
}
