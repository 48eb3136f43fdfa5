/** The configuration in effect, from the command line and the file, and what there is to say about it. */

import type { Config } from "../config.ts";
import { messageOf, SluiceError } from "../errors.ts";
import type { LogFields } from "../log.ts";
import { parseAddress, printAddressPort } from "../net/address.ts";
import { buildConfig } from "./build.ts";
import { decodeDocument, type Fault } from "./decode.ts";
import { differsFromDefault, effectiveValue, type FieldValues } from "./document.ts";
import { type FieldPath, type FieldValue, fieldAt } from "./fields.ts";
import { type FlagValues, fieldsOfFlags, flagOfField, textOfFlag } from "./flag-values.ts";
import { ACTED_ON, FLAGS } from "./flags.ts";
import { parseConfigText } from "./read.ts";

/** A line for the log, which does not exist before its configuration is known. */
export interface Note {
  readonly severity: "info" | "warn";
  readonly message: string;
  readonly fields: LogFields;
}

/** What a start needs: the configuration, and lines for the log that it decides the form of. */
export interface Resolved {
  readonly config: Config;
  readonly notes: readonly Note[];
}

/**
 * Reads the file that --config names, if any, and combines it with the flags as kube-proxy does: beside a
 * file only the flags of flags.ts marked so count.
 * @throws SluiceError CONFIG_UNREADABLE, or CONFIG_INVALID with every fault found
 */
export async function resolveConfig(
  flags: FlagValues,
  readFile: (path: string) => Promise<string>,
): Promise<Resolved> {
  const file = textOfFlag(flags, "config");
  const notes: Note[] = [];
  const faults: Fault[] = [];
  const values = new Map<FieldPath, FieldValue>();
  if (file !== "") {
    for (const [path, value] of await fieldsOfFile(file, readFile, notes, faults)) {
      values.set(path, value);
    }
  }
  for (const [path, value] of fieldsOfFlags(flags, file !== "")) values.set(path, value);
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
  notes.push(...remarks(file, flags, values), ...ignoredSettings(file, flags, config, ignored));
  if (config.detectLocal.mode === "ClusterCIDR" && config.clusterCIDRs.length === 0) {
    const message = "Cannot tell pods from other sources: clusterCIDR must be set in this mode";
    notes.push(warning(message, { detectLocalMode: config.detectLocal.mode }));
  }
  return { config, notes };
}

async function fieldsOfFile(
  file: string,
  readFile: (path: string) => Promise<string>,
  notes: Note[],
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
    notes.push(warning("Ignored an unknown field", { file, field: path }));
  }
  for (const path of duplicates) {
    notes.push(warning("A field occurs twice, the last one counts", { file, field: path }));
  }
  faults.push(...decoded.faults);
  return decoded.values;
}

/** --healthz-port and --metrics-port: deprecated, they give the port where no address is given. */
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

function remarks(file: string, flags: FlagValues, values: FieldValues): Note[] {
  const notes: Note[] = [];
  const ignored = FLAGS.filter(({ name, besideConfig }) => flags.has(name) && !besideConfig);
  if (file !== "" && ignored.length > 0) {
    notes.push(
      warning("Ignored flags because --config is given", {
        flags: ignored.map(({ name }) => `--${name}`).join(", "),
      }),
    );
  }
  const mode = effectiveValue(values, "mode");
  if (mode === "iptables" || mode === "ipvs") {
    notes.push(warning("Serving with nftables in place of the mode asked for", { mode }));
  }
  const idle: string[] = [...values.keys()].filter(
    (path) => !fieldAt(path).effect && differsFromDefault(values, path),
  );
  for (const { name, fields } of FLAGS) {
    if (flags.has(name) && !fields && !ACTED_ON.has(name)) idle.push(`--${name}`);
  }
  if (idle.length > 0) {
    const message = "Accepted settings that have no effect yet";
    notes.push({ severity: "info", message, fields: { settings: idle.join(", ") } });
  }
  return notes;
}

/** Settings that this mode, or another setting, leaves without effect: as upstream, but upstream is silent. */
function ignoredSettings(
  file: string,
  flags: FlagValues,
  config: Config,
  ignored: readonly FieldPath[],
): Note[] {
  const settings = new Set<string>();
  for (const path of ignored) {
    const flag = flagOfField(path, flags, file !== "");
    // A flag may set the field of each mode at once; then it is heard as long as one of them is.
    const fields = FLAGS.find(({ name }) => flag === `--${name}`)?.fields ?? [path];
    if (fields.every((field) => ignored.includes(field))) settings.add(flag ?? path);
  }
  if (config.manifests !== "" && config.master !== "") settings.add("--master");
  if (settings.size === 0) return [];
  const message = "Ignored settings that do not count beside the others";
  return [warning(message, { settings: [...settings].join(", ") })];
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

function warning(message: string, fields: LogFields): Note {
  return { severity: "warn", message, fields };
}
