/** Logs in by the exec plugin of a kubeconfig, as client-go does (plugin/pkg/client/auth/exec). */
import { systemClock } from "../base/clock.ts";
import { isJsonObject, type JsonObject, objectAt, stringAt } from "../base/json.ts";
import { readYaml } from "../base/yaml.ts";
import type { Identity } from "./access.ts";
import { isToken, kubeconfigError } from "./credentials.ts";
import type { ExecConfig } from "./exec-config.ts";
import { type KeyPair, readKeyPair } from "./pem.ts";
import type { Environment } from "./proxy-url.ts";
import { PluginFailure, runPlugin } from "./run-plugin.ts";

export interface ExecPluginOptions {
  readonly config: ExecConfig;
  /** The kubeconfig, and the path of the exec section in it. */
  readonly file: string;
  readonly field: string;
  /** Returns the cluster for plugins that ask for it. */
  readonly cluster: () => Promise<JsonObject>;
  readonly environment: Environment;
}

/** The credentials that a plugin returned. */
interface Login {
  /** Value of the Authorization header; "" for none. */
  readonly authorization: string;
  readonly pair?: KeyPair;
  /** Unix ms; undefined if it does not expire. */
  readonly expiresAt?: number;
}

export class ExecPlugin {
  readonly #options: ExecPluginOptions;
  #login: Login | undefined;
  /** The run in progress. All requests share it. */
  #running: Promise<Login> | undefined;

  constructor(options: ExecPluginOptions) {
    this.#options = options;
  }

  /**
   * Runs the plugin, or returns its last credentials while they are valid. A failure is not
   * remembered.
   * @throws SluiceError KUBECONFIG_INVALID naming the plugin
   */
  async login(): Promise<Login> {
    const known = this.#login;
    if (known !== undefined && (known.expiresAt ?? Infinity) >= systemClock.now()) return known;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** The server refused these credentials. Later ones stay. */
  refused({ authorization, tls }: Identity): void {
    const known = this.#login;
    if (known?.authorization === authorization && known.pair?.cert === tls.cert) {
      this.#login = undefined;
    }
  }

  async #run(): Promise<Login> {
    const { config, file, field, environment } = this.#options;
    try {
      if (config.interactive) throw new PluginFailure("interactiveMode Always needs a terminal");
      const output = await runPlugin(config, await this.#info(), environment);
      this.#login = await readLogin(output, config.apiVersion);
      return this.#login;
    } catch (thrown) {
      if (!(thrown instanceof PluginFailure)) throw thrown;
      const message = `credential plugin ${config.command}: ${thrown.message}`;
      throw kubeconfigError(file, field, message, thrown);
    }
  }

  /** Returns the value of KUBERNETES_EXEC_INFO, in Go's order. */
  async #info(): Promise<string> {
    const { apiVersion, provideClusterInfo } = this.#options.config;
    const cluster = provideClusterInfo ? { cluster: await this.#options.cluster() } : {};
    const spec = { ...cluster, interactive: false };
    return `${JSON.stringify({ kind: "ExecCredential", apiVersion, spec })}\n`;
  }
}

/** @throws PluginFailure */
async function readLogin(output: string, apiVersion: string): Promise<Login> {
  const [{ value, fault }] = await readYaml(output);
  if (fault !== undefined || !isJsonObject(value)) {
    throw new PluginFailure("printed no ExecCredential");
  }
  const found = `${stringAt(value, "kind")} of ${stringAt(value, "apiVersion")}`;
  const expected = `ExecCredential of ${apiVersion}`;
  if (found !== expected) throw new PluginFailure(`printed ${found} instead of ${expected}`);
  if (!isJsonObject(value["status"])) throw new PluginFailure("printed no status");
  const status = objectAt(value, "status");
  const token = stringAt(status, "token");
  const cert = stringAt(status, "clientCertificateData");
  const key = stringAt(status, "clientKeyData");
  if (token === "" && cert === "" && key === "") {
    throw new PluginFailure("printed neither a token nor a certificate");
  }
  if ((cert === "") !== (key === "")) {
    throw new PluginFailure("printed only one of certificate and key");
  }
  if (!isToken(token)) throw new PluginFailure("printed a token of more than one line");
  return {
    authorization: token === "" ? "" : `Bearer ${token}`,
    ...(cert === "" ? {} : { pair: pairOf(cert, key) }),
    ...expiry(status["expirationTimestamp"]),
  };
}

function pairOf(cert: string, key: string): KeyPair {
  const result = readKeyPair(cert, key);
  if ("pair" in result) return result.pair;
  const field = result.of === "cert" ? "clientCertificateData" : "clientKeyData";
  throw new PluginFailure(`${field}: ${result.fault}`);
}

/** A time such as 2026-12-01T10:00:00Z. */
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[-+]\d\d:\d\d)$/;

function expiry(value: unknown): { readonly expiresAt?: number } {
  if (value === undefined || value === null) return {};
  const expiresAt = typeof value === "string" && RFC3339.test(value) ? Date.parse(value) : NaN;
  if (!Number.isNaN(expiresAt)) return { expiresAt };
  throw new PluginFailure("printed an invalid expirationTimestamp");
}
