/** Combines command line and file into the effective configuration, with warnings for the log. */

import { describeCause, SluiceError } from "../base/errors.ts";
import { parseAddress, printAddressPort } from "../net/address.ts";
import { buildConfig } from "./build-config.ts";
import type { Config } from "./config.ts";
import { type ConfigWarning, collectWarnings } from "./config-warnings.ts";
import { type ConfigFault, decodeDocument } from "./decode-config.ts";
import type { FieldValue } from "./field.ts";
import type { FieldPath } from "./fields.ts";
import {
  type FlagValues,
  fieldsFromFlags,
  flagForField,
  mergeFlagValues,
  printFlagValues,
} from "./flag-values.ts";
import { parseConfigText } from "./parse-config.ts";

/** The configuration, and warnings to log once the log is configured by it. */
export interface ResolvedConfig {
  readonly config: Config;
  readonly warnings: readonly ConfigWarning[];
}

/**
 * Reads the file of --config, if any, and combines it with the flags. As in kube-proxy, only flags
 * with `withConfig` (flags.ts) count together with a file.
 * @throws SluiceError CONFIG_UNREADABLE, or CONFIG_INVALID with every fault found
 */
export async function resolveConfig(
  flags: FlagValues,
  readFile: (path: string) => Promise<string>,
): Promise<ResolvedConfig> {
  const file = printFlagValues(flags, "config");
  const warnings: ConfigWarning[] = [];
  const faults: ConfigFault[] = [];
  const values = new Map<FieldPath, FieldValue>();
  if (file !== "") {
    for (const [path, value] of await fieldsOfFile(file, readFile, warnings, faults)) {
      values.set(path, value);
    }
  }
  for (const [path, value] of fieldsFromFlags(flags, file !== "")) {
    values.set(
      path,
      path === "logging.vmodule" ? mergeFlagValues(value, values.get(path) ?? []) : value,
    );
  }
  if (file === "") applyPorts(flags, values);
  const { config, ignored } = buildConfig(
    values,
    {
      master: printFlagValues(flags, "master"),
      healthzOff: file === "" && flags.get("healthz-port") === 0,
    },
    faults,
  );
  if (file === "" && flags.get("metrics-port") === 0) {
    faults.push({ path: "--metrics-port", rule: "must be between 1 and 65535", value: 0 });
  }
  if (faults.length > 0) throw invalid(file, faults, flags);
  warnings.push(...collectWarnings({ file, flags, values, config, ignored }));
  return { config, warnings };
}

async function fieldsOfFile(
  file: string,
  readFile: (path: string) => Promise<string>,
  warnings: ConfigWarning[],
  faults: ConfigFault[],
): Promise<Map<FieldPath, FieldValue>> {
  let text: string;
  try {
    text = await readFile(file);
  } catch (error) {
    throw new SluiceError("CONFIG_UNREADABLE", `read ${file}: ${describeCause(error)}`, file, {
      cause: error,
    });
  }
  const { value, duplicates } = await parseConfigText(text, file);
  const decoded = decodeDocument(value);
  for (const path of decoded.unknown) {
    warnings.push({ message: "Ignored unknown field", fields: { file, field: path } });
  }
  for (const path of duplicates) {
    warnings.push({
      message: "Duplicate field; using the last value",
      fields: { file, field: path },
    });
  }
  faults.push(...decoded.faults);
  return decoded.values;
}

/**
 * Applies the deprecated --healthz-port and --metrics-port, which set the port of a missing or bare
 * address.
 */
function applyPorts(flags: FlagValues, values: Map<FieldPath, FieldValue>): void {
  for (const [flag, path, fallback] of [
    ["healthz-port", "healthzBindAddress", "0.0.0.0"],
    ["metrics-port", "metricsBindAddress", "127.0.0.1"],
  ] as const) {
    const port = flags.get(flag);
    const given = values.get(path);
    const address = parseAddress(typeof given === "string" ? given : fallback);
    if (typeof port === "number" && port !== 0 && address) {
      values.set(path, printAddressPort(address.bytes, port));
    }
  }
}

/** The value in an error is cut to this many characters. */
const SHOWN_VALUE_MAX = 200;

function invalid(file: string, faults: readonly ConfigFault[], flags: FlagValues): SluiceError {
  const texts = faults.map((fault) => {
    const name = flagForField(fault.path, flags, file !== "") ?? fault.path;
    return faultText({ ...fault, path: name });
  });
  const message = `${file === "" ? "" : `load ${file}: `}${texts.join("; ")}`;
  return new SluiceError("CONFIG_INVALID", message, file || undefined);
}

/** Prints a fault like Kubernetes' field errors: `path: invalid value "x": must be ...`. */
function faultText({ path, kind, rule, value }: ConfigFault): string {
  const shown = JSON.stringify(value)?.slice(0, SHOWN_VALUE_MAX);
  const what = kind ?? (shown === undefined ? "required value" : `invalid value ${shown}`);
  return `${path === "" ? "" : `${path}: `}${what}: ${rule}`;
}
