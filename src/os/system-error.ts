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

/** The texts of strerror(3), each with the name of the number. */
const TEXTS = new Map<number, string>([
  [EPERM, "operation not permitted (EPERM)"],
  [ENOENT, "no such file or directory (ENOENT)"],
  [EINTR, "interrupted system call (EINTR)"],
  [EAGAIN, "resource temporarily unavailable (EAGAIN)"],
  [ENOMEM, "cannot allocate memory (ENOMEM)"],
  [EACCES, "permission denied (EACCES)"],
  [EBUSY, "device or resource busy (EBUSY)"],
  [EEXIST, "file exists (EEXIST)"],
  [EINVAL, "invalid argument (EINVAL)"],
  [EMSGSIZE, "message too long (EMSGSIZE)"],
  [EPROTONOSUPPORT, "protocol not supported (EPROTONOSUPPORT)"],
  [EOPNOTSUPP, "operation not supported (EOPNOTSUPP)"],
  [EADDRINUSE, "address already in use (EADDRINUSE)"],
  [ENOBUFS, "no buffer space available (ENOBUFS)"],
]);

/**
 * Returns the text of an error number, such as `file exists (EEXIST)`; `errno 9999` for one without
 * a text here.
 */
export function errnoText(errno: number): string {
  return TEXTS.get(errno) ?? `errno ${errno}`;
}

/** Reports whether the request was valid and may succeed later. */
export function isTransient(errno: number): boolean {
  return errno === EINTR || errno === EAGAIN || errno === ENOBUFS || errno === ENOMEM;
}

/** The kernel refused a request. Create it with `systemError`. */
export class SystemError extends SluiceError {
  override readonly name = "SystemError";
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

const RIGHTS = "Sluice needs CAP_NET_ADMIN in this network namespace";

/**
 * Creates a SystemError with the message `what: text`, for example `open netlink socket: protocol
 * not supported (EPROTONOSUPPORT)`. For EPERM and EACCES the code is PERMISSION_DENIED, regardless
 * of `code`.
 */
export function systemError(
  what: string,
  errno: number,
  code: ErrorCode = "NETLINK_SOCKET",
  text = errnoText(errno),
): SystemError {
  if (errno === EPERM || errno === EACCES) {
    return new SystemError("PERMISSION_DENIED", `${what}: ${text} (${RIGHTS})`, errno);
  }
  return new SystemError(code, `${what}: ${text}`, errno);
}
