/** Reads the credentials of a kubeconfig's user, and the certificate authority of its cluster. */
import {
  certificateReader,
  fileSource,
  isToken,
  keyPairReader,
  type TextSource,
  TokenFile,
} from "./credentials.ts";
import type { KubeconfigFields } from "./kubeconfig-fields.ts";
import type { KeyPair } from "./pem.ts";

/**
 * Refuses combinations that client-go refuses, and what is not supported.
 * @throws SluiceError KUBECONFIG_INVALID
 */
export function checkUser(user: KubeconfigFields): void {
  for (const field of ["as", "as-uid", "as-groups", "as-user-extra"]) {
    user.forbid(field, "impersonation is not supported");
  }
  user.forbid("auth-provider", "only exec plugins are supported, as in kube-proxy");
  for (const name of ["username", "password"]) {
    if (user.has("token") && user.has(name)) {
      throw user.error(name, "must not be set together with token");
    }
  }
  if (user.has("username") && user.has("tokenFile")) {
    throw user.error("username", "must not be set together with tokenFile");
  }
  if (!isToken(user.text("token"))) throw user.error("token", "must be one line");
}

/** A login that needs no plugin. */
export interface StaticLogin {
  /** Returns the value of the Authorization header. */
  authorization(): Promise<string>;
  refused(): void;
}

/** As in client-go, tokenFile takes precedence over token. Undefined if there is no login. */
export function staticLogin(user: KubeconfigFields): StaticLogin | undefined {
  const token = user.text("token");
  const file = user.text("tokenFile");
  if (file !== "") {
    const source = fileSource(user.resolve(file), user.place("tokenFile"));
    const read = new TokenFile(source, token);
    return {
      authorization: async () => `Bearer ${await read.read()}`,
      refused: () => read.refused(),
    };
  }
  const name = user.text("username");
  if (token === "" && name === "") return undefined;
  const basic = Buffer.from(`${name}:${user.text("password")}`).toString("base64");
  const value = token === "" ? `Basic ${basic}` : `Bearer ${token}`;
  return { authorization: async () => value, refused() {} };
}

/**
 * Returns a function that reads the certificate authority; undefined without one. Checks inline
 * data now.
 */
export async function authorityOf(
  cluster: KubeconfigFields,
): Promise<(() => Promise<string>) | undefined> {
  const source = pemSource(cluster, "certificate-authority");
  if (source === undefined) return undefined;
  if (cluster.flag("insecure-skip-tls-verify")) {
    throw cluster.error(
      "insecure-skip-tls-verify",
      "invalid value true: must not be set together with a certificate authority",
    );
  }
  const read = certificateReader(source);
  if (source.inline) await read();
  return read;
}

/**
 * Returns a function that reads the client certificate and its key; undefined without one. Checks
 * inline data now.
 */
export async function clientCertificateOf(
  user: KubeconfigFields,
): Promise<(() => Promise<KeyPair>) | undefined> {
  const cert = pemSource(user, "client-certificate");
  // As in client-go, a key alone has no effect.
  if (cert === undefined) return undefined;
  const key = pemSource(user, "client-key");
  if (key === undefined) {
    throw user.error("client-key", "required value: must be set together with client-certificate");
  }
  const read = keyPairReader(cert, key);
  if (cert.inline && key.inline) await read();
  return read;
}

/** Undefined if neither `FIELD-data` nor `FIELD` is set. */
function pemSource(
  fields: KubeconfigFields,
  field: string,
): (TextSource & { readonly inline: boolean }) | undefined {
  const data = fields.bytes(`${field}-data`);
  const file = fields.text(field);
  if (data !== undefined && file !== "") {
    throw fields.error(field, `must not be set together with ${field}-data`);
  }
  if (data !== undefined) {
    const text = data.toString("utf8");
    const name = `${fields.file}: ${fields.path(`${field}-data`)}`;
    return { name, file: fields.file, read: async () => text, inline: true };
  }
  if (file === "") return undefined;
  return { ...fileSource(fields.resolve(file), fields.place(field)), inline: false };
}
