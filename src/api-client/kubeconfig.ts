/** Reads a kubeconfig file and picks the cluster, user and context that kube-proxy would use. */
import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import type { ClusterAccess, Identity, TlsMaterial } from "./access.ts";
import { checkPem, fileError, kubeconfigError, readCredential, readPem } from "./credentials.ts";
import { KubeconfigFields } from "./kubeconfig-fields.ts";
import { pluginAuth } from "./login-plugins.ts";
import {
  type Environment,
  type ProxyServer,
  parseProxyUrl,
  proxyFromEnvironment,
} from "./proxy-url.ts";
import {
  parseMasterUrl,
  parseServerUrl,
  type ServerUrl,
  withoutCredentials,
} from "./server-url.ts";

/**
 * @param master overrides the cluster's server and its tls-server-name unless it is "".
 * @param environment may name a proxy, which the cluster's proxy-url overrides.
 * @throws SluiceError KUBECONFIG_INVALID naming the file and the field; CONFIG_INVALID for
 *   `master`.
 */
export async function readKubeconfig(
  path: string,
  master: string,
  environment: Environment,
): Promise<ClusterAccess> {
  const root = new KubeconfigFields(path, "", await parse(path));
  const context = currentContext(root);
  const cluster = findNamed(root, "clusters", context.text("cluster"), "cluster");
  const userName = context.text("user");
  const user = userName === "" ? undefined : findNamed(root, "users", userName, "user");
  for (const field of ["as", "as-uid", "as-groups", "as-user-extra"]) {
    user?.forbid(field, "impersonation is not supported");
  }

  const tls = tlsReader(path, cluster, user, master === "" ? cluster.text("tls-server-name") : "");
  const secure =
    cluster.has("certificate-authority") ||
    cluster.has("certificate-authority-data") ||
    cluster.has("insecure-skip-tls-verify") ||
    (user?.has("client-certificate") ?? false) ||
    (user?.has("client-certificate-data") ?? false);
  const url = master === "" ? clusterUrl(cluster, secure) : parseMasterUrl(master, secure);
  const { server } = url;
  const plugin =
    user !== undefined && (user.has("exec") || user.has("auth-provider"))
      ? pluginAuth(path, user)
      : undefined;
  return {
    server,
    proxy: clusterProxy(cluster) ?? proxyFromEnvironment(server, environment),
    async identity(): Promise<Identity> {
      const material = await tls();
      if (plugin !== undefined) {
        const login = await plugin.login();
        return { authorization: login.authorization, tls: { ...material, ...login.tls } };
      }
      return {
        authorization:
          url.authorization || (user === undefined ? "" : await authorization(path, user)),
        tls: material,
      };
    },
    credentialsRefused: () => plugin?.discard(),
  };
}

function clusterUrl(cluster: KubeconfigFields, secure: boolean): ServerUrl {
  const text = cluster.required("server", "must be a URL");
  const url = parseServerUrl(text, secure);
  if (url !== undefined) return url;
  const shown = JSON.stringify(withoutCredentials(text));
  throw cluster.error("server", `invalid value ${shown}: must be a URL`);
}

function clusterProxy(cluster: KubeconfigFields): ProxyServer | undefined {
  const text = cluster.text("proxy-url");
  if (text === "") return undefined;
  const parsed = parseProxyUrl(text);
  if ("proxy" in parsed) return parsed.proxy;
  // The value may contain a password.
  throw cluster.error("proxy-url", `invalid value: ${parsed.fault}`);
}

async function parse(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (thrown) {
    throw fileError("read", path, "", thrown);
  }
  try {
    if (text.trimStart().startsWith("{")) return JSON.parse(text);
    const { parse: parseYaml } = await import("yaml");
    return parseYaml(text);
  } catch (thrown) {
    throw fileError("parse", path, "", thrown);
  }
}

function currentContext(root: KubeconfigFields): KubeconfigFields {
  const name = root.text("current-context");
  if (name !== "") return findNamed(root, "contexts", name, "context");
  throw root.error("current-context", "required value: must name a context");
}

function findNamed(
  root: KubeconfigFields,
  list: string,
  name: string,
  content: string,
): KubeconfigFields {
  const found = root.list(list).find((entry) => entry.text("name") === name);
  if (found !== undefined) return found.object(content);
  throw root.error(list, `no entry is named ${JSON.stringify(name)}`);
}

/** Checks inline data now. Returns a function that reads the files on each call. */
function tlsReader(
  path: string,
  cluster: KubeconfigFields,
  user: KubeconfigFields | undefined,
  serverName: string,
): () => Promise<TlsMaterial> {
  const insecure = cluster.flag("insecure-skip-tls-verify");
  const ca = pem(path, cluster, "certificate-authority", "CERTIFICATE");
  const cert = user && pem(path, user, "client-certificate", "CERTIFICATE");
  const key = user && pem(path, user, "client-key", "PRIVATE KEY");
  if (insecure && ca !== undefined) {
    throw cluster.error(
      "insecure-skip-tls-verify",
      "invalid value true: must not be set together with a certificate authority",
    );
  }
  if (user !== undefined && (cert === undefined) !== (key === undefined)) {
    const [absent, present] =
      cert === undefined
        ? ["client-certificate", "client-key"]
        : ["client-key", "client-certificate"];
    throw user.error(absent, `required value: must be set together with ${present}`);
  }
  return async () => ({
    insecure,
    ...(serverName === "" ? {} : { serverName }),
    ...(ca === undefined ? {} : { ca: await ca() }),
    ...(cert === undefined ? {} : { cert: await cert() }),
    ...(key === undefined ? {} : { key: await key() }),
  });
}

/** As in client-go, `FIELD-data` in base64 takes precedence over the file named by `FIELD`. */
function pem(
  path: string,
  fields: KubeconfigFields,
  field: string,
  label: string,
): (() => Promise<string>) | undefined {
  const data = fields.text(`${field}-data`);
  if (data !== "") {
    const where = fields.path(`${field}-data`);
    const text = Buffer.from(data, "base64").toString("utf8");
    const fault = checkPem(text, label);
    if (fault !== undefined) throw kubeconfigError(path, where, fault);
    return async () => text;
  }
  const file = fields.text(field);
  if (file === "") return undefined;
  return () => readPem(resolveBeside(path, file), `${fields.path(field)} of ${path}`, label);
}

/** As in client-go, tokenFile takes precedence over token. */
async function authorization(path: string, user: KubeconfigFields): Promise<string> {
  const file = user.text("tokenFile");
  if (file !== "") {
    return `Bearer ${await readCredential(resolveBeside(path, file), `${user.path("tokenFile")} of ${path}`)}`;
  }
  const token = user.text("token");
  if (token !== "") return `Bearer ${token}`;
  const name = user.text("username");
  if (name === "") return "";
  return `Basic ${Buffer.from(`${name}:${user.text("password")}`).toString("base64")}`;
}

/** Resolves a path relative to the kubeconfig's directory. */
function resolveBeside(path: string, file: string): string {
  return isAbsolute(file) ? file : join(dirname(path), file);
}
