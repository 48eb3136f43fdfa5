/** Chooses how to reach the API server. */
import { SluiceError } from "../base/errors.ts";
import { type ClusterAccess, parseMasterUrl } from "./access.ts";
import { readCredential, readPem } from "./credentials.ts";
import { readKubeconfig } from "./kubeconfig.ts";

/** Says in messages what the files are. */
const SERVICE_ACCOUNT = "of the pod's service account";
const SERVICE_ACCOUNT_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";

export interface AccessOptions {
  /** Path of a kubeconfig file; "" for none. */
  readonly kubeconfig: string;
  /** Server URL that overrides the kubeconfig's; "" for none. */
  readonly master: string;
  readonly environment: { readonly [name: string]: string | undefined };
}

/**
 * Like kube-proxy, uses the kubeconfig if set, otherwise the bare `master` URL, otherwise the pod's
 * service account.
 * @throws SluiceError KUBECONFIG_INVALID; CONFIG_INVALID if `master` is not a URL
 */
export async function openAccess(options: AccessOptions): Promise<ClusterAccess> {
  if (options.kubeconfig !== "") return readKubeconfig(options.kubeconfig, options.master);
  if (options.master !== "") return anonymousAccess(options.master);
  return inClusterAccess(options.environment);
}

function anonymousAccess(master: string): ClusterAccess {
  return {
    server: parseMasterUrl(master, false),
    identity: async () => ({ authorization: "", tls: { insecure: false } }),
    credentialsRefused() {},
  };
}

/**
 * Opens access from inside a pod, from two environment variables and the service account's files.
 * @throws SluiceError KUBECONFIG_INVALID outside of a pod
 */
export function inClusterAccess(
  environment: { readonly [name: string]: string | undefined },
  directory = SERVICE_ACCOUNT_DIRECTORY,
): ClusterAccess {
  const host = variable(environment, "KUBERNETES_SERVICE_HOST");
  const port = variable(environment, "KUBERNETES_SERVICE_PORT");
  const server = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const caFile = `${directory}/ca.crt`;
  const tokenFile = `${directory}/token`;
  return {
    server,
    identity: async () => ({
      authorization: `Bearer ${await readCredential(tokenFile, SERVICE_ACCOUNT)}`,
      tls: { insecure: false, ca: await readPem(caFile, SERVICE_ACCOUNT, "CERTIFICATE") },
    }),
    credentialsRefused() {},
  };
}

function variable(
  environment: { readonly [name: string]: string | undefined },
  name: string,
): string {
  const value = environment[name];
  if (value !== undefined && value !== "") return value;
  throw new SluiceError(
    "KUBECONFIG_INVALID",
    `find API server: ${name} is not set, and there is no --kubeconfig or --master (outside a pod, set --kubeconfig)`,
    name,
  );
}
