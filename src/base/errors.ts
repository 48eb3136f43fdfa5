/**
 * Every kind of failure that has an external cause. The codes are stable: metrics, logs and tests
 * use them.
 */
export type ErrorCode =
  | "CONFIG_INVALID" // unusable configuration file or flag
  | "CONFIG_UNREADABLE"
  | "CONFIG_CHANGED" // the file changed settings that need a new process
  | "KUBECONFIG_INVALID" // unreadable or unusable kubeconfig, token or certificate
  | "API_UNREACHABLE" // no connection, TLS refused, timeout
  | "API_STATUS" // the API server answered with an error status
  | "API_GONE" // 410: the resourceVersion is too old, list again
  | "API_MALFORMED" // bytes that are not the expected protobuf or JSON
  | "OBJECT_INVALID" // an API object or manifest, or one of its fields, is unusable
  | "FRONTEND_TAKEN" // an older Service holds this frontend
  | "MANIFEST_INVALID"
  | "NODE_MISSING" // the API server has no Node with this node's name, or it has no address
  | "AFFINITY_FULL" // a frontend cannot remember more clients
  | "NETLINK_SOCKET" // socket, bind, send or receive failed
  | "NETLINK_REFUSED" // the kernel refused an operation
  | "KERNEL_UNSUPPORTED" // the kernel lacks a feature that the rules need
  | "PERMISSION_DENIED" // no CAP_NET_ADMIN, or no CAP_NET_RAW for legacy tables
  | "TABLE_FOREIGN" // another program owns a table with our name
  | "SYSCTL_REFUSED" // a kernel or process setting under /proc cannot be written
  | "ALREADY_RUNNING" // another instance serves this network namespace
  | "OTHER_PROXY" // another proxy runs, or its rules cannot be read or removed, or come back
  | "RULES_REFUSED" // iptables-restore rejected a rule
  | "TOOL_FAILED" // a program that Sluice runs is missing, failed, or timed out
  | "CORE_MEMORY" // the Wasm core's memory cannot grow
  | "CORE_ABORT" // an assertion in the Wasm core: a defect
  | "LISTEN_FAILED"; // an HTTP address that cannot be bound

/**
 * The class of all expected errors; subclasses only add data and a name. A message starts in lower
 * case and has no final period:
 * - A failed operation: `operation object: cause (hint)`, for example `list services: 403
 *   Forbidden: ...`. The underlying cause comes last.
 * - A field that is not usable: `field: invalid value "x": must be ...`.
 */
export class SluiceError extends Error {
  override readonly name: string = "SluiceError";
  readonly code: ErrorCode;
  /** The object concerned: a Service, a file with its line, a kernel object. */
  readonly subject: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    subject?: string,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
    this.code = code;
    this.subject = subject;
  }
}

/**
 * Reports whether `thrown` is a bug in Sluice, or a core that aborted on one. Retrying does not
 * help; only a new process does.
 */
export function isDefect(thrown: unknown): boolean {
  return !(thrown instanceof SluiceError) || thrown.code === "CORE_ABORT";
}

/**
 * Rethrows bugs, so that they end the process. Call it in a `catch` block that handles external
 * failures.
 */
export function rethrowDefect(thrown: unknown): asserts thrown is SluiceError {
  if (isDefect(thrown)) throw thrown;
}

/** Returns the message of any thrown value. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/**
 * Returns the message of a thrown value for a terminal. The code leads to an item of the lists in
 * docs/troubleshooting.md.
 */
export function withCode(thrown: unknown): string {
  const message = messageOf(thrown);
  return thrown instanceof SluiceError ? `${message} (code ${thrown.code})` : message;
}

/** Appends a hint in parentheses. If the message ends in parentheses, the hint joins them. */
export function withHint(message: string, hint: string): string {
  return / \([^()]+\)$/.test(message)
    ? `${message.slice(0, -1)}; ${hint})`
    : `${message} (${hint})`;
}

/** The form of messages of Node's modules: `ENOENT: no such file or directory, open '/etc/x'`. */
const FILE_ERROR = /^([A-Z][A-Z0-9]+): (.+), [a-z_]+(?: '.*)?$/;

/**
 * Like `messageOf`, but returns `no such file or directory (ENOENT)` for an error of a system
 * call. The caller names the operation and the file.
 */
export function describeCause(thrown: unknown): string {
  const message = messageOf(thrown);
  const [, name, text] = FILE_ERROR.exec(message) ?? [];
  return name === undefined ? message : `${text} (${name})`;
}
