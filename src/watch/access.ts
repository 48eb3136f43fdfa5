/** How to reach one API server: where it is, whom to trust, who we are. */
import { inClusterAccess } from "./in-cluster.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import type { RequestMeter } from "./meter.ts";
import { masterUrl } from "./server-url.ts";

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

export interface AccessOptions {
  /** Path of a kubeconfig file; "" for none. */
  readonly kubeconfig: string;
  /** Server URL that overrides the kubeconfig's; "" for none. */
  readonly master: string;
  readonly environment: { readonly [name: string]: string | undefined };
}

/**
 * As kube-proxy: the kubeconfig if there is one, else the bare `master` URL, else the pod's own
 * service account.
 * @throws SluiceError KUBECONFIG_INVALID; CONFIG_INVALID for a `master` that is no URL
 */
export async function openAccess(options: AccessOptions): Promise<ClusterAccess> {
  if (options.kubeconfig !== "") return readKubeconfig(options.kubeconfig, options.master);
  if (options.master !== "") return anonymousAccess(options.master);
  return inClusterAccess(options.environment);
}

function anonymousAccess(master: string): ClusterAccess {
  return {
    server: masterUrl(master, false),
    identity: async () => ({ authorization: "", tls: { insecure: false } }),
    refused() {},
  };
}
