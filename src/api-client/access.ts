/** Describes how to reach one API server: its URL, the trusted CA, and our identity. */
import type { Environment, ProxyServer } from "./proxy-url.ts";
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
  /** Undefined if the server is reached directly. */
  readonly proxy?: ProxyServer | undefined;
  /** Names the authorities of the system, for servers without an own one. */
  readonly environment?: Environment;
  /**
   * Returns the current identity. Files are read again on each call, so the next request uses a
   * rotated token or certificate.
   * @throws SluiceError KUBECONFIG_INVALID naming the file or plugin.
   */
  identity(): Promise<Identity>;
  /** The server answered 401 to a request with this identity: discards any cached login. */
  credentialsRefused(identity: Identity): void;
  /** Value of the header User-Agent; `sluice` if undefined. */
  readonly userAgent?: string;
  /** Receives every request; optional. */
  readonly meter?: RequestMeter;
}
