/** Resolves configurations for tests in the same way as the program. */
import type { SluiceError } from "../src/base/errors.ts";
import { parseArguments } from "../src/config/command-line.ts";
import type { ConfigWarning } from "../src/config/config-warnings.ts";
import { type ResolvedConfig, resolveConfig } from "../src/config/resolve-config.ts";

/** The first lines of every file. */
export const CONFIG_HEADER =
  "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

/** Resolves flags, and the body of a file if given. */
export async function resolveArgs(argv: readonly string[], body?: string): Promise<ResolvedConfig> {
  const command = parseArguments(body === undefined ? argv : ["--config", "proxy.yaml", ...argv]);
  if (command.kind !== "run") throw new Error(`${argv} is ${command.kind}`);
  return resolveConfig(command.flags, async () =>
    body?.trimStart().startsWith("{") ? body : `${CONFIG_HEADER}${body}`,
  );
}

/** The message of the error that this throws. */
export async function configErrorMessage(argv: readonly string[], body?: string): Promise<string> {
  try {
    await resolveArgs(argv, body);
  } catch (error) {
    const { code, message } = error as SluiceError;
    return `${code}: ${message}`;
  }
  return "";
}

export function warningTexts(warnings: readonly ConfigWarning[]): string[] {
  return warnings.map(({ message, fields }) => `${message}: ${Object.values(fields).join(" ")}`);
}
