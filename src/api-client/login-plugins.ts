/**
 * Runs exec and auth-provider logins through @kubernetes/client-node, which costs 20 MB and is
 * loaded only for them.
 */
import type { KubeConfig } from "@kubernetes/client-node";
import { describeCause } from "../base/errors.ts";
import { kubeconfigError } from "./credentials.ts";
import type { KubeconfigFields } from "./kubeconfig-fields.ts";

interface Login {
  readonly authorization: string;
  readonly tls: { readonly cert?: string; readonly key?: string };
}

export interface PluginAuth {
  /** Runs the plugin, or returns its last result while that is still valid. */
  login(): Promise<Login>;
  /** The server refused the login: runs the plugin again next time. */
  discard(): void;
}

/** @param user the user with an exec or auth-provider section in the kubeconfig at `path`. */
export function pluginAuth(path: string, user: KubeconfigFields): PluginAuth {
  const field = user.path(user.has("exec") ? "exec" : "auth-provider");
  let config: KubeConfig | undefined;
  return {
    async login() {
      try {
        config ??= await load(path);
        const headers: { Authorization?: string } = {};
        const options: { headers: typeof headers; cert?: unknown; key?: unknown } = { headers };
        await config.applyToHTTPSOptions(options);
        return {
          authorization: headers.Authorization ?? "",
          tls: { ...text("cert", options.cert), ...text("key", options.key) },
        };
      } catch (thrown) {
        throw kubeconfigError(path, field, `login plugin failed: ${describeCause(thrown)}`, thrown);
      }
    },
    discard() {
      config = undefined;
    },
  };
}

async function load(path: string): Promise<KubeConfig> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  config.loadFromFile(path);
  return config;
}

function text(name: "cert" | "key", value: unknown): { readonly [name: string]: string } {
  if (typeof value === "string" && value !== "") return { [name]: value };
  return value instanceof Uint8Array ? { [name]: Buffer.from(value).toString("utf8") } : {};
}
