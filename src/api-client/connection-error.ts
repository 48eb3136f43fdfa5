/** Describes why a request got no answer. */
import { messageOf, SluiceError } from "../base/errors.ts";
import { ProxyError } from "./connect.ts";

/** Error codes of a TLS failure: the server is reachable, but one side rejected the other. */
const TLS_CODE =
  /^(ERR_TLS_|ERR_SSL_|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO)/;

/** Causes for which undici has only a name, in the words of strerror(3). */
const CAUSES: Readonly<Record<string, string>> = {
  EAI_AGAIN: "temporary failure in name resolution",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ENOTFOUND: "no such host",
  EPIPE: "connection closed by peer",
  ERR_SSL_HTTP_REQUEST: "the server does not speak TLS",
  ERR_SSL_WRONG_VERSION_NUMBER: "the server does not speak TLS",
  ETIMEDOUT: "connection timed out",
};

/** Alerts of TLS (RFC 8446) about the certificate of the other side. */
const ABOUT_CERTIFICATE = /certificate|^unknown ca$|^access denied$/;

/** Creates the error of a request to `server` that failed without an answer. */
export function unreachable(server: string, thrown: unknown): SluiceError {
  return new SluiceError("API_UNREACHABLE", `request to ${server}: ${describe(thrown)}`, server, {
    cause: thrown,
  });
}

function describe(thrown: unknown): string {
  if (thrown instanceof ProxyError) return `${thrown.message}: ${describe(thrown.cause)}`;
  const code = codeOf(thrown);
  const reason = alertOf(code) ?? CAUSES[code] ?? (messageOf(thrown) || "connection closed");
  const detail = code === "" || reason.includes(code) ? reason : `${reason} (${code})`;
  return `${operationOf(thrown, code)}${detail}`;
}

/** Describes a TLS alert that the server sent; undefined for another code. */
function alertOf(code: string): string | undefined {
  const alert = /^ERR_SSL_[A-Z\d]+_ALERT_(\w+)$/
    .exec(code)?.[1]
    ?.toLowerCase()
    .replaceAll("_", " ");
  if (alert === undefined) return undefined;
  const about = ABOUT_CERTIFICATE.test(alert) ? " about our client certificate" : "";
  return `the server sent the alert "${alert}"${about}`;
}

/** Names the step that failed before the request was sent. */
function operationOf(thrown: unknown, code: string): string {
  if (TLS_CODE.test(code)) return "TLS handshake failed: ";
  const isLookup = thrown instanceof Error && "hostname" in thrown && "syscall" in thrown;
  return isLookup && thrown.syscall === "getaddrinfo" ? `lookup ${thrown.hostname}: ` : "";
}

function codeOf(thrown: unknown): string {
  return typeof thrown === "object" && thrown !== null && "code" in thrown
    ? String(thrown.code)
    : "";
}
