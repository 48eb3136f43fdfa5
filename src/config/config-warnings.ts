/** Collects warnings about a valid configuration. */

import type { LogFields } from "../base/log.ts";
import type { Config } from "./config.ts";
import { NO_EFFECT_REASONS, type NoEffectReason } from "./field.ts";
import { type FieldPath, fieldAt } from "./fields.ts";
import { type FlagValues, flagForField } from "./flag-values.ts";
import { FLAGS, printFlagName } from "./flags.ts";
import { differsFromDefault, effectiveValue, type FieldValues, isSet } from "./settings.ts";

/** A warning about a setting. It is kept until the log is configured. */
export interface ConfigWarning {
  readonly message: string;
  readonly fields: LogFields;
}

export interface WarningInput {
  /** "" without a file. */
  readonly file: string;
  readonly flags: FlagValues;
  /** The values of file and flags together. */
  readonly values: FieldValues;
  readonly config: Config;
  /** @see FieldReader.ignored */
  readonly ignored: readonly FieldPath[];
}

/**
 * Gates that have an effect here. LoggingAlphaOptions permits options, which then have no effect.
 */
const KNOWN_GATES = new Set(["AllowServiceExternalIPs", "WatchListClient", "LoggingAlphaOptions"]);

export function collectWarnings(input: WarningInput): ConfigWarning[] {
  return [
    ...ignoredFlags(input),
    ...backendWarnings(input),
    ...nodePortWarnings(input),
    ...settingsWithoutEffect(input),
    ...gatesWithoutEffect(input),
    ...ignoredSettings(input),
    ...localWarnings(input),
  ];
}

function ignoredFlags({ file, flags }: WarningInput): ConfigWarning[] {
  const ignored = FLAGS.filter(({ name, withConfig }) => flags.has(name) && !withConfig);
  if (file === "" || ignored.length === 0) return [];
  const names = ignored.map(({ name }) => printFlagName(name)).join(", ");
  return [{ message: "Ignored flags because --config is set", fields: { flags: names } }];
}

function backendWarnings({ values, config }: WarningInput): ConfigWarning[] {
  const mode = effectiveValue(values, "mode");
  const warnings: ConfigWarning[] = [];
  if (mode === "ipvs") {
    warnings.push({ message: "IPVS is not supported; using mode auto", fields: { mode } });
  }
  if (config.mode === "iptables") warnings.push(...warningsForMode(config, config.mode));
  return warnings;
}

function nodePortWarnings({ values, config }: WarningInput): ConfigWarning[] {
  const given = effectiveValue(values, "nodePortAddresses") ?? [];
  if (config.mode === "nftables" || given.length > 0) return [];
  const mode = effectiveValue(values, "mode");
  const warnings: ConfigWarning[] = [];
  // The modes in which kube-proxy serves node ports on loopback by default.
  const differs = mode === "iptables" || mode === "";
  if (differs && !isSet(values, "iptables.localhostNodePorts")) {
    warnings.push({
      message: "Node ports do not answer on loopback, unlike with kube-proxy's iptables mode",
      fields: { mode, hint: "if needed, set mode: iptables and iptables.localhostNodePorts: true" },
    });
  }
  warnings.push({
    message: "Node ports answer on all addresses of this node that other hosts can reach",
    fields: { mode, hint: "to limit them, set nodePortAddresses: [primary]" },
  });
  return warnings;
}

/** Returns one warning per reason why settings have no effect. */
function settingsWithoutEffect({ file, flags, values }: WarningInput): ConfigWarning[] {
  const byReason = new Map<NoEffectReason, string[]>();
  const add = (reason: NoEffectReason, name: string) => {
    byReason.set(reason, [...(byReason.get(reason) ?? []), name]);
  };
  for (const path of values.keys()) {
    const { idle } = fieldAt(path);
    if (idle === undefined || !differsFromDefault(values, path)) continue;
    add(idle, flagForField(path, flags, file !== "") ?? path);
  }
  for (const { name, idle } of FLAGS) {
    if (idle !== undefined && flags.has(name)) add(idle, printFlagName(name));
  }
  return [...byReason].map(([reason, names]) => ({
    message: "Accepted settings that have no effect in Sluice",
    fields: { settings: names.join(", "), reason: NO_EFFECT_REASONS[reason] },
  }));
}

/**
 * Warns of feature gates without effect here. kube-proxy refuses to start with a gate that it does
 * not know. In Sluice a gate of another version must not stop a node, and most gates concern
 * features that it does not have.
 */
function gatesWithoutEffect({ values }: WarningInput): ConfigWarning[] {
  const names = Object.keys(effectiveValue(values, "featureGates"));
  const gates = names.filter((name) => !KNOWN_GATES.has(name)).join(", ");
  if (gates === "") return [];
  return [{ message: "Accepted feature gates that have no effect in Sluice", fields: { gates } }];
}

/**
 * Warns of settings that have no effect in this mode or because of another setting. kube-proxy
 * ignores them as well, but without a message.
 */
function ignoredSettings({ file, flags, config, ignored }: WarningInput): ConfigWarning[] {
  const settings = new Set<string>();
  for (const path of ignored) {
    const flag = flagForField(path, flags, file !== "");
    // A flag may set one field for each mode. It is ignored only if all of its fields are.
    const fields = FLAGS.find(({ name }) => flag === printFlagName(name))?.fields ?? [path];
    if (fields.every((field) => ignored.includes(field))) settings.add(flag ?? path);
  }
  if (config.manifests !== "" && config.master !== "") settings.add("--master");
  if (settings.size === 0) return [];
  const message = "Ignored settings that have no effect together with the others";
  return [{ message, fields: { settings: [...settings].join(", ") } }];
}

function localWarnings({ config }: WarningInput): ConfigWarning[] {
  const { mode } = config.detectLocal;
  if (mode !== "ClusterCIDR" || config.clusterCIDRs.length > 0) return [];
  const message =
    "Without clusterCIDR, local pods cannot be recognized, and connections to clusterIPs are not masqueraded unless masqueradeAll is set";
  const hint = "set clusterCIDR or another detectLocalMode";
  return [{ message, fields: { detectLocalMode: mode, hint } }];
}

/** The fields and flags that --init-only applies. */
const HOST_SETTING =
  /^(?:conntrack\.|--conntrack-|iptables\.localhostNodePorts$|--iptables-localhost-nodeports$)/;

/** Returns the warnings that name a setting of the host. */
export function hostWarnings(warnings: readonly ConfigWarning[]): ConfigWarning[] {
  return warnings.filter(({ fields: { flags, settings, field } }) =>
    String(flags ?? settings ?? field ?? "")
      .split(", ")
      .some((name) => HOST_SETTING.test(name)),
  );
}

/**
 * Returns warnings that depend on the active backend. In mode auto it is known only after probing
 * the kernel, and the caller logs them then. For other modes `collectWarnings` includes them.
 */
export function warningsForMode(
  { counters, localhostNodePorts }: Pick<Config, "counters" | "localhostNodePorts">,
  mode: "nftables" | "iptables",
): ConfigWarning[] {
  if (mode === "iptables" && counters) {
    const message = "Connections are not counted with iptables; sluice.counters has no effect";
    return [{ message, fields: { mode } }];
  }
  if (mode === "nftables" && localhostNodePorts) {
    const message =
      "Node ports do not answer on loopback; iptables.localhostNodePorts has no effect with nftables";
    return [{ message, fields: { mode } }];
  }
  return [];
}
