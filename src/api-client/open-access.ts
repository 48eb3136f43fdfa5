/** Chooses how to reach the API server. */
import type { ClusterAccess } from "./access.ts";
import { inClusterAccess } from "./in-cluster.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import { masterUrl } from "./server-url.ts";

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
