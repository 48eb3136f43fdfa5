/** Writes kubeconfig files for a test control plane. */
import { readFileSync, writeFileSync } from "node:fs";
import type { Certificate } from "./certificates.ts";

/** The user of a kubeconfig. */
export type Credential = { readonly token: string } | { readonly certificate: Certificate };

/** Writes a kubeconfig file as JSON (which is YAML), with certificates inline. Returns its path. */
export function writeKubeconfig(
  path: string,
  server: string,
  authority: Certificate,
  credential: Credential,
): string {
  const user =
    "token" in credential
      ? { token: credential.token }
      : {
          "client-certificate-data": inline(credential.certificate.certificate),
          "client-key-data": inline(credential.certificate.key),
        };
  const cluster = { server, "certificate-authority-data": inline(authority.certificate) };
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster }],
    users: [{ name: "test", user }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    "current-context": "test",
  };
  writeFileSync(path, JSON.stringify(config, undefined, 1));
  return path;
}

function inline(path: string): string {
  return readFileSync(path).toString("base64");
}
