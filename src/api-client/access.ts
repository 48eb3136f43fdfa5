/** Describes how to reach one API server: its URL, the trusted CA, and our identity. */
import { SluiceError } from "../base/errors.ts";
import type { RequestMeter } from "./request-meter.ts";

/** PEM texts and the server name to verify. Absent fields mean the system's defaults. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverName?: string;
  /** insecure-skip-tls-verify of the kubeconfig. */
  readonly insecure: boolean;
}

export interface Identity {
  /** Value of the Authorization header; "" for none. */
  readonly authorization: string;
  readonly tls: TlsMaterial;
}

export interface ClusterAccess {
  /** `https://host:port`, possibly with a path; never ends in a slash. */
  readonly server: string;
  /**
   * Returns the current identity. Files are read again on each call, so the next request uses a
   * rotated token or certificate.
   * @throws SluiceError KUBECONFIG_INVALID naming the file or plugin.
   */
  identity(): Promise<Identity>;
  /** The server answered 401: discards any cached login. */
  credentialsRefused(): void;
  /** Receives every request; optional. */
  readonly meter?: RequestMeter;
}

/**
 * Follows client-go's DefaultServerURL: a URL without a scheme becomes https if any TLS setting is
 * present.
 */
export function serverUrl(text: string, tls: boolean): string {
  const withScheme = /^https?:\/\//.test(text) ? text : `${tls ? "https" : "http"}://${text}`;
  return withScheme.replace(/\/+$/, "");
}

/**
 * Like `serverUrl`, for the flag --master.
 * @throws SluiceError CONFIG_INVALID if it is not a URL
 */
export function parseMasterUrl(master: string, tls: boolean): string {
  const url = serverUrl(master, tls);
  if (URL.canParse(url)) return url;
  throw new SluiceError(
    "CONFIG_INVALID",
    `--master: invalid value ${JSON.stringify(master)}: must be a URL`,
  );
}
