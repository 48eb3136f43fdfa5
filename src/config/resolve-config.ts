/** Combines command line and file into the effective configuration, with messages for the log. */

import { messageOf, SluiceError } from "../base/errors.ts";
import { parseAddress, printAddressPort } from "../net/address.ts";
import { buildConfig } from "./build-config.ts";
import type { Config } from "./config.ts";
import { type ConfigMessage, configMessages, warning } from "./config-messages.ts";
import { decodeDocument, type Fault } from "./decode-config.ts";
import type { FieldValue } from "./field.ts";
import type { FieldPath } from "./fields.ts";
import { combine, type FlagValues, fieldsOfFlags, flagOfField, textOfFlag } from "./flag-values.ts";
import { parseConfigText } from "./parse-config.ts";

/** The configuration, and log lines that are kept until the log is configured by it. */
export interface Resolved {
  readonly config: Config;
  readonly messages: readonly ConfigMessage[];
}

/**
 * Reads the file of --config, if any, and combines it with the flags. As in kube-proxy, only flags
 * with `besideConfig` (flags.ts) count together with a file.
 * @throws SluiceError CONFIG_UNREADABLE, or CONFIG_INVALID with every fault found
 */
export async function resolveConfig(
  flags: FlagValues,
  readFile: (path: string) => Promise<string>,
): Promise<Resolved> {
  const file = textOfFlag(flags, "config");
  const messages: ConfigMessage[] = [];
  const faults: Fault[] = [];
  const values = new Map<FieldPath, FieldValue>();
  if (file !== "") {
    for (const [path, value] of await fieldsOfFile(file, readFile, messages, faults)) {
      values.set(path, value);
    }
  }
  for (const [path, value] of fieldsOfFlags(flags, file !== "")) {
    values.set(path, path === "logging.vmodule" ? combine(value, values.get(path) ?? []) : value);
  }
  if (file === "") applyPorts(flags, values);
  const { config, ignored } = buildConfig(
    values,
    {
      master: textOfFlag(flags, "master"),
      healthzOff: file === "" && flags.get("healthz-port") === 0,
    },
    faults,
  );
  if (file === "" && flags.get("metrics-port") === 0) {
    faults.push({ path: "--metrics-port", rule: "must be 1 to 65535", value: 0 });
  }
  if (faults.length > 0) throw invalid(file, faults, flags);
  messages.push(...configMessages({ file, flags, values, config, ignored }));
  return { config, messages };
}

async function fieldsOfFile(
  file: string,
  readFile: (path: string) => Promise<string>,
  messages: ConfigMessage[],
  faults: Fault[],
): Promise<Map<FieldPath, FieldValue>> {
  let text: string;
  try {
    text = await readFile(file);
  } catch (error) {
    const message = `Cannot read configuration ${file}: ${messageOf(error)}`;
    throw new SluiceError("CONFIG_UNREADABLE", message, file, { cause: error });
  }
  const { value, duplicates } = await parseConfigText(text, file);
  const decoded = decodeDocument(value);
  for (const path of decoded.unknown) {
    messages.push(warning("Ignored an unknown field", { file, field: path }));
  }
  for (const path of duplicates) {
    messages.push(warning("A field occurs twice, the last one counts", { file, field: path }));
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

function invalid(file: string, faults: readonly Fault[], flags: FlagValues): SluiceError {
  const source = file === "" ? "flags" : `configuration ${file}`;
  const said = faults.map(({ path, rule, value }) => {
    const name = flagOfField(path, flags, file !== "") ?? path;
    const current = (JSON.stringify(value) ?? "nothing").slice(0, 200);
    return `${name === "" ? "it" : name} ${rule}: current value is ${current}`;
  });
  return new SluiceError(
    "CONFIG_INVALID",
    `Cannot use ${source}: ${said.join("; ")}`,
    file || undefined,
  );
}
