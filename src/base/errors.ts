/** Every way in which the world can fail us. The code is stable: metrics, logs and tests use it. */
export type ErrorCode =
  | "CONFIG_INVALID" // a configuration file or flag that cannot be used
  | "CONFIG_UNREADABLE"
  | "CONFIG_CHANGED" // the file, in settings that only a new process can take up
  | "KUBECONFIG_INVALID" // unreadable or unusable kubeconfig, token or certificate
  | "API_UNREACHABLE" // no connection, TLS refused, timeout
  | "API_STATUS" // the API server answered with an error status
  | "API_GONE" // 410: the resourceVersion is too old, list again
  | "API_MALFORMED" // bytes that are not the promised protobuf or JSON
  | "OBJECT_INVALID" // one API object or manifest, or a field of it, that cannot be used
  | "FRONTEND_TAKEN" // an older Service holds this frontend
  | "MANIFEST_INVALID"
  | "NETLINK_SOCKET" // socket, bind, send or receive failed
  | "NETLINK_REFUSED" // the kernel refused an operation
  | "KERNEL_UNSUPPORTED" // the kernel lacks something the skeleton needs
  | "PERMISSION_DENIED" // no CAP_NET_ADMIN, or for legacy tables no CAP_NET_RAW
  | "TABLE_FOREIGN" // a table of our name that we did not make
  | "SYSCTL_REFUSED" // a setting of the kernel or of this process, under /proc, that cannot be written
  | "ALREADY_RUNNING" // another instance serves this network namespace
  | "OTHER_PROXY" // another proxy that runs, or rules of one that cannot be looked for or removed, or come back
  | "RULES_REFUSED" // iptables-restore would not take a rule
  | "TOOL_FAILED" // a program that was run for us is missing, failed, or took too long
  | "CORE_MEMORY" // the Wasm core cannot grow
  | "CORE_ABORT" // an assertion in the Wasm core: a defect
  | "LISTEN_FAILED"; // an HTTP address that cannot be bound

/**
 * The one error class. The message says what could not be done, on which object, with the value at
 * fault: "Cannot <do> <object>: <rule>: current value is <value>".
 */
export class SluiceError extends Error {
  override readonly name = "SluiceError";
  readonly code: ErrorCode;
  /** What it is about: a Service, a file with its line, a kernel object. */
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

/** A defect of ours, or a core that stopped at one: no retry helps, only a fresh process. */
export function isDefect(thrown: unknown): boolean {
  return !(thrown instanceof SluiceError) || thrown.code === "CORE_ABORT";
}

/** For whoever catches what the world may do to it: a defect is thrown on, and ends the process. */
export function rethrowDefect(thrown: unknown): asserts thrown is SluiceError {
  if (isDefect(thrown)) throw thrown;
}

/** The text of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
