/**
 * Reads a kubeconfig file and picks the cluster, user and context that kube-proxy would use, by the
 * rules of client-go (tools/clientcmd).
 */
import { readFile } from "node:fs/promises";
import { printYamlFault, readYaml } from "../base/yaml.ts";
import type { ClusterAccess, Identity } from "./access.ts";
import { kubeconfigError, unreadable } from "./credentials.ts";
import { clusterInfo, readExecConfig } from "./exec-config.ts";
import { ExecPlugin } from "./exec-plugin.ts";
import { KubeconfigFields } from "./kubeconfig-fields.ts";
import { authorityOf, checkUser, clientCertificateOf, staticLogin } from "./kubeconfig-login.ts";
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
 * @param environment may name a proxy, which the cluster's proxy-url overrides. Plugins inherit it.
 * @throws SluiceError KUBECONFIG_INVALID naming the file and the field; CONFIG_INVALID for
 *   `master`.
 */
export async function readKubeconfig(
  path: string,
  master: string,
  environment: Environment,
): Promise<ClusterAccess> {
  const root = new KubeconfigFields(path, "", await parse(path));
  const { cluster, user } = choose(root, master);
  const url = master === "" ? clusterUrl(cluster) : parseMasterUrl(master);
  const { server } = url;
  const proxy = clusterProxy(cluster) ?? proxyFromEnvironment(server, environment);
  checkUser(user);
  const exec = user.has("exec") ? user.object("exec") : undefined;
  const config = exec && readExecConfig(exec);
  const insecure = cluster.flag("insecure-skip-tls-verify");
  const authority = await authorityOf(cluster);
  const certificate = await clientCertificateOf(user);
  const login = staticLogin(user);
  // As in client-go, credentials are only for servers with TLS.
  if (!server.startsWith("https:")) {
    const identity = { authorization: url.authorization, tls: { insecure: false } };
    return { server, proxy, identity: async () => identity, credentialsRefused() {} };
  }

  const serverName = master === "" ? cluster.text("tls-server-name") : "";
  const plugin =
    config && login === undefined && certificate === undefined
      ? new ExecPlugin({
          config,
          file: path,
          field: user.path("exec"),
          cluster: async () => clusterInfo(cluster, master, (await authority?.()) ?? ""),
          environment,
        })
      : undefined;
  return {
    server,
    proxy,
    async identity(): Promise<Identity> {
      const granted = await plugin?.login();
      const pair = await (granted?.pair ?? certificate?.());
      return {
        authorization:
          url.authorization || granted?.authorization || (await login?.authorization()) || "",
        tls: {
          insecure,
          ...(serverName === "" ? {} : { serverName }),
          ...(authority === undefined ? {} : { ca: await authority() }),
          ...pair,
        },
      };
    },
    credentialsRefused(identity) {
      login?.refused();
      plugin?.refused(identity);
    },
  };
}

async function parse(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (thrown) {
    throw unreadable(`kubeconfig ${path}`, path, thrown);
  }
  const [{ value, fault }] = await readYaml(text);
  if (fault === undefined) return value;
  throw kubeconfigError(path, "content", `invalid YAML: ${printYamlFault(fault)}`);
}

/**
 * Picks the cluster and the user of the current context. With `master`, both may be absent. A user
 * that is not listed has no credentials.
 */
function choose(root: KubeconfigFields, master: string) {
  for (const [field, expected] of [
    ["kind", "Config"],
    ["apiVersion", "v1"],
  ] as const) {
    const found = root.text(field);
    if (found !== "" && found !== expected) {
      throw root.error(field, `invalid value ${JSON.stringify(found)}: must be ${expected}`);
    }
  }
  const clusters = root.named("clusters", "cluster");
  const users = root.named("users", "user");
  const contexts = root.named("contexts", "context");
  const current = root.text("current-context");
  const context = contexts.get(current);
  if (current === "" && master === "") {
    throw root.error("current-context", "required value: must name a context");
  }
  if (current !== "" && context === undefined) {
    throw root.error("contexts", `no entry is named ${JSON.stringify(current)}`);
  }
  const clusterName = context?.().text("cluster") ?? "";
  const cluster = clusters.get(clusterName);
  if (cluster === undefined && master === "") {
    throw root.error("clusters", `no entry is named ${JSON.stringify(clusterName)}`);
  }
  const user = users.get(context?.().text("user") ?? "");
  return {
    cluster: cluster?.() ?? root.absent("clusters"),
    user: user?.() ?? root.absent("users"),
  };
}

function clusterUrl(cluster: KubeconfigFields): ServerUrl {
  const text = cluster.required("server", "must be a URL");
  const url = parseServerUrl(text);
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
