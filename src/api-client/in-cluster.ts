/** Access from inside a pod: two variables and the service account's files. */
import { SluiceError } from "../base/errors.ts";
import type { ClusterAccess } from "./access.ts";
import { readCredential, readPem } from "./credentials.ts";

export const SERVICE_ACCOUNT_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";

/** @throws SluiceError KUBECONFIG_INVALID outside of a pod. */
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
      authorization: `Bearer ${await readCredential(tokenFile, "token")}`,
      tls: { insecure: false, ca: await readPem(caFile, "certificate-authority", "CERTIFICATE") },
    }),
    refused() {},
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
    `Cannot find the API server: neither --kubeconfig nor --master is given and this is no pod: current value of ${name} is ""`,
    name,
  );
}
