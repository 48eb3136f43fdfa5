/** The configuration in effect, from the command line and the file, and what there is to say about it. */
import { parseAddress, printAddressPort } from "../address.ts";
import type { Config } from "../config.ts";
import { messageOf, SluiceError } from "../errors.ts";
import type { LogFields } from "../log.ts";
import { buildConfig } from "./build.ts";
import { decodeDocument, type Fault } from "./decode.ts";
import { effectiveValue, isSet } from "./document.ts";
import { type Field, type FieldPath, type FieldValue, fieldAt } from "./fields.ts";
import { type FlagValues, fieldsOfFlags, flagOfField } from "./flag-values.ts";
import { ACTED_ON, FLAGS } from "./flags.ts";
import { parseConfigText } from "./read.ts";

/** A line for the log, which does not exist before its configuration is known. */
export interface Note {
  readonly severity: "info" | "warn";
  readonly message: string;
  readonly fields: LogFields;
}

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
  const file = (flags.get("config") as string | undefined) ?? "";
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
  const config = buildConfig(
    values,
    {
      master: (flags.get("master") as string | undefined) ?? "",
      healthzOff: file === "" && flags.get("healthz-port") === 0,
    },
    faults,
  );
  if (file === "" && flags.get("metrics-port") === 0) {
    faults.push({ path: "--metrics-port", rule: "must be 1 to 65535", value: 0 });
  }
  if (faults.length > 0) throw invalid(file, faults, flags);
  notes.push(...remarks(file, flags, values));
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
    notes.push(warning("Ignored a field that no kube-proxy knows", { file, field: path }));
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
    const address = parseAddress((values.get(path) as string | undefined) ?? fallback);
    if (typeof port === "number" && port !== 0 && address) {
      values.set(path, printAddressPort(address.bytes, port));
    }
  }
}

function remarks(
  file: string,
  flags: FlagValues,
  values: ReadonlyMap<FieldPath, FieldValue>,
): Note[] {
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
  const idle = [...values.keys()].filter((path) => isIdle(path, values)) as string[];
  for (const { name, fields } of FLAGS) {
    if (flags.has(name) && !fields && !ACTED_ON.has(name)) idle.push(`--${name}`);
  }
  if (idle.length > 0) {
    const message = "Accepted settings that have no effect yet";
    notes.push({ severity: "info", message, fields: { settings: idle.join(", ") } });
  }
  return notes;
}

/** Set to something else than its default, and without effect. */
function isIdle(path: FieldPath, values: ReadonlyMap<FieldPath, FieldValue>): boolean {
  const field = fieldAt(path) as Field;
  const differs = JSON.stringify(values.get(path)) !== JSON.stringify(field.default);
  return field.effect !== true && isSet(values, path) && differs;
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
