/** Collects messages about a valid configuration, as log lines. */

import type { LogFields } from "../base/log.ts";
import type { Config } from "./config.ts";
import { REASONS, type Reason } from "./field.ts";
import { type FieldPath, fieldAt } from "./fields.ts";
import { type FlagValues, flagOfField } from "./flag-values.ts";
import { FLAGS } from "./flags.ts";
import { differsFromDefault, effectiveValue, type FieldValues, isSet } from "./settings.ts";

/** A log line that is kept until the configuration of the log is known. */
export interface ConfigMessage {
  readonly severity: "info" | "warn";
  readonly message: string;
  readonly fields: LogFields;
}

export interface MessageInputs {
  /** "" without a file. */
  readonly file: string;
  readonly flags: FlagValues;
  /** The values of file and flags together. */
  readonly values: FieldValues;
  readonly config: Config;
  /** @see Settings.ignored */
  readonly ignored: readonly FieldPath[];
}

/**
 * Gates that have an effect here. LoggingAlphaOptions permits options, which then have no effect.
 */
const KNOWN_GATES = new Set(["AllowServiceExternalIPs", "WatchListClient", "LoggingAlphaOptions"]);

export function configMessages(said: MessageInputs): ConfigMessage[] {
  return [
    ...ignoredFlags(said),
    ...modeMessages(said),
    ...settingsWithoutEffect(said),
    ...gatesWithoutEffect(said),
    ...ignoredSettings(said),
    ...localModeMessages(said),
  ];
}

export function warning(message: string, fields: LogFields): ConfigMessage {
  return { severity: "warn", message, fields };
}

function ignoredFlags({ file, flags }: MessageInputs): ConfigMessage[] {
  const ignored = FLAGS.filter(({ name, besideConfig }) => flags.has(name) && !besideConfig);
  if (file === "" || ignored.length === 0) return [];
  const names = ignored.map(({ name }) => `--${name}`).join(", ");
  return [warning("Ignored flags because --config is given", { flags: names })];
}

function modeMessages({ values, config }: MessageInputs): ConfigMessage[] {
  if (config.mode === "nftables") return [];
  const mode = effectiveValue(values, "mode");
  const messages: ConfigMessage[] = [];
  if (mode === "ipvs") {
    const message =
      "IPVS is not served: in its place nftables is if the kernel can, else iptables, as in mode auto";
    messages.push(warning(message, { mode }));
  }
  if (config.mode === "iptables") messages.push(...messagesForMode(config, config.mode));
  // The modes in which kube-proxy would serve them there.
  if ((mode === "iptables" || mode === "") && isLoopbackUnset(values)) {
    const message =
      "Node ports are not served on loopback, as they are by default in kube-proxy's iptables mode";
    const consider = "mode: iptables, and iptables.localhostNodePorts: true";
    messages.push({ severity: "info", message, fields: { mode, consider } });
  }
  if ((effectiveValue(values, "nodePortAddresses") ?? []).length === 0) {
    const message =
      "Node ports are served on all addresses of this node, kube-proxy's default unless mode is nftables";
    const fields = { mode, consider: "nodePortAddresses: [primary]" };
    messages.push({ severity: "info", message, fields });
  }
  return messages;
}

/** Returns whether the settings leave both loopback and nodePortAddresses open. */
function isLoopbackUnset(values: FieldValues): boolean {
  const given = effectiveValue(values, "nodePortAddresses") ?? [];
  return given.length === 0 && !isSet(values, "iptables.localhostNodePorts");
}

/** Returns one line per reason why settings have no effect. */
function settingsWithoutEffect({ file, flags, values }: MessageInputs): ConfigMessage[] {
  const byReason = new Map<Reason, string[]>();
  const add = (reason: Reason, name: string) => {
    byReason.set(reason, [...(byReason.get(reason) ?? []), name]);
  };
  for (const path of values.keys()) {
    const { idle } = fieldAt(path);
    if (idle === undefined || !differsFromDefault(values, path)) continue;
    add(idle, flagOfField(path, flags, file !== "") ?? path);
  }
  for (const { name, idle } of FLAGS) {
    if (idle !== undefined && flags.has(name)) add(idle, `--${name}`);
  }
  return [...byReason].map(([reason, names]) => ({
    severity: "info",
    message: "Accepted settings that have no effect here",
    fields: { settings: names.join(", "), reason: REASONS[reason] },
  }));
}

/**
 * Warns of feature gates without effect here. kube-proxy refuses to start with a gate that it does
 * not know. In Sluice a gate of another version must not stop a node, and most gates concern
 * features that it does not have.
 */
function gatesWithoutEffect({ values }: MessageInputs): ConfigMessage[] {
  const names = Object.keys(effectiveValue(values, "featureGates"));
  const idle = names.filter((name) => !KNOWN_GATES.has(name));
  if (idle.length === 0) return [];
  const gates = idle.join(", ");
  return [warning("Accepted feature gates that have no effect here", { gates })];
}

/**
 * Warns of settings that have no effect in this mode or because of another setting. kube-proxy
 * ignores them as well, but without a message.
 */
function ignoredSettings({ file, flags, config, ignored }: MessageInputs): ConfigMessage[] {
  const settings = new Set<string>();
  for (const path of ignored) {
    const flag = flagOfField(path, flags, file !== "");
    // A flag may set one field for each mode. It is ignored only if all of its fields are.
    const fields = FLAGS.find(({ name }) => flag === `--${name}`)?.fields ?? [path];
    if (fields.every((field) => ignored.includes(field))) settings.add(flag ?? path);
  }
  if (config.manifests !== "" && config.master !== "") settings.add("--master");
  if (settings.size === 0) return [];
  const message = "Ignored settings that do not count beside the others";
  return [warning(message, { settings: [...settings].join(", ") })];
}

function localModeMessages({ config }: MessageInputs): ConfigMessage[] {
  const { mode } = config.detectLocal;
  if (mode !== "ClusterCIDR" || config.clusterCIDRs.length > 0) return [];
  const message = "Cannot tell pods from other sources: clusterCIDR must be set in this mode";
  return [warning(message, { detectLocalMode: mode })];
}

/**
 * Returns messages on the active mode. In mode auto it is known only after probing the kernel, and
 * the caller logs them then. For other modes they are part of the configuration's messages.
 */
export function messagesForMode(
  { counters, localhostNodePorts }: Pick<Config, "counters" | "localhostNodePorts">,
  served: "nftables" | "iptables",
): ConfigMessage[] {
  if (served === "iptables" && counters) {
    const message =
      "Connections are not counted in mode iptables, so sluice.counters has no effect, nor have the metrics that rest on it";
    return [{ severity: "info", message, fields: { mode: served } }];
  }
  if (served === "nftables" && localhostNodePorts) {
    const message =
      "Node ports are not served on loopback: iptables.localhostNodePorts counts in mode iptables only";
    return [{ severity: "warn", message, fields: { mode: served } }];
  }
  return [];
}
