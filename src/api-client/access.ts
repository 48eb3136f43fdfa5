/** How to reach one API server: its URL, whom to trust, who we are. */
import { SluiceError } from "../base/errors.ts";
import type { RequestMeter } from "./request-meter.ts";

/** PEM texts and the name to verify; absent fields mean the system's defaults. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverName?: string;
  /** insecure-skip-tls-verify. */
  readonly insecure: boolean;
}

export interface Identity {
  /** Value of the Authorization header, "" for none. */
  readonly authorization: string;
  readonly tls: TlsMaterial;
}

export interface ClusterAccess {
  /** `https://host:port`, possibly with a path. Never ends in a slash. */
  readonly server: string;
  /**
   * Who we are right now. Files are read anew each time, so a rotated token or certificate is used from
   * the next request on.
   * @throws SluiceError KUBECONFIG_INVALID naming the file or plugin.
   */
  identity(): Promise<Identity>;
  /** The server answered 401: whatever is remembered of a login is worthless. */
  refused(): void;
  /** Hears of each request; absent: nobody does. */
  readonly meter?: RequestMeter;
}

/** client-go's DefaultServerURL: without a scheme, https if anything about TLS is configured. */
export function serverUrl(text: string, tls: boolean): string {
  const withScheme = /^https?:\/\//.test(text) ? text : `${tls ? "https" : "http"}://${text}`;
  return withScheme.replace(/\/+$/, "");
}

/**
 * The same of the flag --master.
 * @throws SluiceError CONFIG_INVALID when it is no URL
 */
export function masterUrl(master: string, tls: boolean): string {
  const url = serverUrl(master, tls);
  if (URL.canParse(url)) return url;
  throw new SluiceError(
    "CONFIG_INVALID",
    `Cannot use flag --master: it must be a URL: current value is ${JSON.stringify(master)}`,
  );
}
