/** Reads the exec section of a kubeconfig's user, by the rules of client-go. */
import type { KubeconfigFields } from "./kubeconfig-fields.ts";

export interface ExecConfig {
  /** A name to look up in PATH, or an absolute path. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly (readonly [name: string, value: string])[];
  readonly apiVersion: string;
  readonly provideClusterInfo: boolean;
  /** True if the plugin needs a terminal. */
  readonly interactive: boolean;
  readonly installHint: string;
}

const API_GROUP = "client.authentication.k8s.io";
const API_VERSIONS: readonly string[] = [`${API_GROUP}/v1`, `${API_GROUP}/v1beta1`];
const INTERACTIVE_MODES: readonly string[] = ["Never", "IfAvailable", "Always"];

/** @throws SluiceError KUBECONFIG_INVALID */
export function readExecConfig(exec: KubeconfigFields): ExecConfig {
  const command = exec.required("command", "must be a program or a path");
  const apiVersion = exec.required("apiVersion", `must be ${API_VERSIONS.join(" or ")}`);
  if (!API_VERSIONS.includes(apiVersion)) throw invalid(exec, "apiVersion", API_VERSIONS);
  const beta = apiVersion.endsWith("/v1beta1");
  const mode = exec.text("interactiveMode") || (beta ? "IfAvailable" : "");
  if (!INTERACTIVE_MODES.includes(mode)) throw invalid(exec, "interactiveMode", INTERACTIVE_MODES);
  return {
    command: command.includes("/") ? exec.resolve(command) : command,
    args: exec.texts("args"),
    env: exec
      .list("env")
      .map((entry) => [entry.required("name", "must not be empty"), entry.text("value")]),
    apiVersion,
    provideClusterInfo: exec.flag("provideClusterInfo"),
    interactive: mode === "Always",
    installHint: exec.text("installHint"),
  };
}

function invalid(exec: KubeconfigFields, field: string, values: readonly string[]) {
  const value = exec.text(field);
  const what = value === "" ? "required value" : `invalid value ${JSON.stringify(value)}`;
  return exec.error(field, `${what}: must be ${values.join(" or ")}`);
}

/**
 * Describes the cluster for a plugin with provideClusterInfo.
 * @param server overrides the server of the kubeconfig, and its tls-server-name, unless it is ""
 * @param authority in PEM; "" for none
 */
export function clusterInfo(cluster: KubeconfigFields, master: string, authority: string) {
  const serverName = master === "" ? cluster.text("tls-server-name") : "";
  const proxy = cluster.text("proxy-url");
  const extension = cluster
    .list("extensions")
    .find((each) => each.text("name") === `${API_GROUP}/exec`);
  return {
    server: master === "" ? cluster.text("server") : master,
    ...(serverName === "" ? {} : { "tls-server-name": serverName }),
    ...(cluster.flag("insecure-skip-tls-verify") ? { "insecure-skip-tls-verify": true } : {}),
    ...(authority === ""
      ? {}
      : { "certificate-authority-data": Buffer.from(authority).toString("base64") }),
    ...(proxy === "" ? {} : { "proxy-url": proxy }),
    ...(cluster.flag("disable-compression") ? { "disable-compression": true } : {}),
    config: extension?.value("extension") ?? null,
  };
}
