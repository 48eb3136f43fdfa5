/** Chooses how to reach the API server. */
import { SluiceError } from "../base/errors.ts";
import type { ClusterAccess } from "./access.ts";
import { certificateReader, fileSource, TokenFile } from "./credentials.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import { type Environment, proxyFromEnvironment } from "./proxy-url.ts";
import { parseMasterUrl, parseServerUrl } from "./server-url.ts";

/** Says in messages what the files are. */
const SERVICE_ACCOUNT = "of the pod's service account";
const SERVICE_ACCOUNT_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";

export interface AccessOptions {
  /** Path of a kubeconfig file; "" for none. */
  readonly kubeconfig: string;
  /** Server URL that overrides the kubeconfig's; "" for none. */
  readonly master: string;
  /** Also names the proxy. */
  readonly environment: Environment;
}

/**
 * Like kube-proxy, uses the kubeconfig if set, otherwise the bare `master` URL, otherwise the pod's
 * service account.
 * @throws SluiceError KUBECONFIG_INVALID; CONFIG_INVALID if `master` is not a URL
 */
export async function openAccess(options: AccessOptions): Promise<ClusterAccess> {
  const { kubeconfig, master, environment } = options;
  if (kubeconfig === "" && master === "") return inClusterAccess(environment);
  const access =
    kubeconfig === ""
      ? masterAccess(master, environment)
      : await readKubeconfig(kubeconfig, master, environment);
  return { ...access, environment };
}

function masterAccess(master: string, environment: Environment): ClusterAccess {
  const { server, authorization } = parseMasterUrl(master);
  return {
    server,
    proxy: proxyFromEnvironment(server, environment),
    identity: async () => ({ authorization, tls: { insecure: false } }),
    credentialsRefused() {},
  };
}

/**
 * Opens access from inside a pod, from two environment variables and the service account's files.
 * @throws SluiceError KUBECONFIG_INVALID outside of a pod
 */
export function inClusterAccess(
  environment: Environment,
  directory = SERVICE_ACCOUNT_DIRECTORY,
): ClusterAccess {
  const host = variable(environment, "KUBERNETES_SERVICE_HOST");
  const port = variable(environment, "KUBERNETES_SERVICE_PORT");
  const text = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const server = parseServerUrl(text)?.server;
  if (server === undefined) {
    throw new SluiceError(
      "KUBECONFIG_INVALID",
      `KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT: invalid value ${JSON.stringify(text)}: must be a URL`,
      "KUBERNETES_SERVICE_HOST",
    );
  }
  const authority = certificateReader(fileSource(`${directory}/ca.crt`, SERVICE_ACCOUNT));
  const token = new TokenFile(fileSource(`${directory}/token`, SERVICE_ACCOUNT));
  return {
    server,
    proxy: proxyFromEnvironment(server, environment),
    identity: async () => ({
      authorization: `Bearer ${await token.read()}`,
      tls: { insecure: false, ca: await authority() },
    }),
    credentialsRefused: () => token.refused(),
  };
}

function variable(environment: Environment, name: string): string {
  const value = environment[name];
  if (value !== undefined && value !== "") return value;
  throw new SluiceError(
    "KUBECONFIG_INVALID",
    `find API server: ${name} is not set, and there is no --kubeconfig or --master (outside a pod, set --kubeconfig)`,
    name,
  );
}
