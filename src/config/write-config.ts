/**
 * Runs --write-config-to: writes the effective configuration as a file that produces the same one.
 */

import { describeCause, SluiceError } from "../base/errors.ts";
import type { Config } from "./config.ts";
import { type FlagValues, printFlagValues } from "./flag-values.ts";
import { resolveConfig } from "./resolve-config.ts";

/** Access to the file system. */
export interface ConfigFiles {
  readonly read: (path: string) => Promise<string>;
  readonly write: (path: string, text: string) => Promise<void>;
}

/**
 * Writes the configuration that flags and file produce. Returns lines to print.
 * @throws SluiceError CONFIG_INVALID, CONFIG_UNREADABLE (also if the file cannot be written)
 */
export async function writeConfig(
  file: string,
  flags: FlagValues,
  files: ConfigFiles,
): Promise<string> {
  const { config, warnings } = await resolveConfig(flags, files.read);
  try {
    await files.write(file, await printConfig(config));
  } catch (cause) {
    const message = `write ${file}: ${describeCause(cause)}`;
    throw new SluiceError("CONFIG_UNREADABLE", message, file, { cause });
  }
  const lines = warnings.map(({ message, fields }) => {
    const details = Object.entries(fields).map(
      ([key, value]) => `${key}: ${value === "" ? '""' : value}`,
    );
    return `${message} (${details.join("; ")})`;
  });
  const unwritten = [
    ...(printFlagValues(flags, "master") === "" ? [] : ["--master"]),
    ...(config.healthzBindAddress === "" ? ["--healthz-port=0"] : []),
  ];
  if (unwritten.length > 0)
    lines.push(`Not written, because the file has no field for it: ${unwritten.join(", ")}`);
  return [...lines, `Wrote ${file}`].map((line) => `${line}\n`).join("");
}

/**
 * Prints YAML of v1alpha1 with our own section. Reading it gives the same Config, except for
 * settings that only flags can make.
 */
export async function printConfig({ document, ownDocument }: Config): Promise<string> {
  const { stringify } = await import("yaml");
  // Use the reader's version: in version 1.1 `on` is a boolean, so that a string must be quoted.
  return stringify({ ...document, sluice: ownDocument }, { version: "1.1", lineWidth: 0 });
}
