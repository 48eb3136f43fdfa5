/** Field values with their defaults, one by one and as the whole document that /configz shows. */
import type { Config, KubeProxyConfiguration } from "../config.ts";
import { printDuration } from "./duration.ts";
import {
  FIELDS,
  type Field,
  type FieldPath,
  type FieldValue,
  fieldAt,
  isUnset,
  type ValueAt,
} from "./fields.ts";

/** What is set; durations in milliseconds. */
export type FieldValues = ReadonlyMap<FieldPath, FieldValue>;

/** What a field comes to: what is set, or the default. */
export function effectiveValue<Path extends FieldPath>(
  values: FieldValues,
  path: Path,
): ValueAt<Path> {
  const value = isSet(values, path) ? values.get(path) : fieldAt(path).default;
  // Decoding and flags let nothing in that is not of the field's type (TYPES in decode.ts).
  return value as ValueAt<Path>;
}

/** Does the file or a flag say something about it? A zero that upstream's defaulting replaces says nothing. */
export function isSet(values: FieldValues, path: FieldPath): boolean {
  const value = values.get(path);
  return value !== undefined && !isUnset(fieldAt(path), value);
}

/**
 * Is it set to something else than its default? A file that was written out with every default, as kubeadm
 * does, says nothing by most of them.
 */
export function differsFromDefault(values: FieldValues, path: FieldPath): boolean {
  const differs = JSON.stringify(values.get(path)) !== JSON.stringify(fieldAt(path).default);
  return isSet(values, path) && differs;
}

/** Upstream's shape with every default, and what is in effect in the place where upstream would have it. */
export function documentOf(
  values: FieldValues,
  effective: Omit<Config, "document">,
): KubeProxyConfiguration {
  const { nodePortAddresses } = effective;
  const given = effectiveValue(values, "nodePortAddresses");
  const replaced: { readonly [path: string]: FieldValue } = {
    mode: "nftables",
    hostnameOverride: effective.hostnameOverride,
    healthzBindAddress: effective.healthzBindAddress,
    metricsBindAddress: effective.metricsBindAddress,
    nodePortAddresses: nodePortAddresses.primary ? ["primary"] : given,
    "nftables.masqueradeBit": effective.masqueradeBit,
    "nftables.masqueradeAll": effective.masqueradeAll,
    "nftables.syncPeriod": effective.syncPeriodMs,
    "nftables.minSyncPeriod": effective.minSyncMs,
  };
  const document: { [name: string]: unknown } = {
    kind: "KubeProxyConfiguration",
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
  };
  for (const [path, field] of Object.entries<Field>(FIELDS)) {
    const value = Object.hasOwn(replaced, path)
      ? replaced[path]
      : effectiveValue(values, path as FieldPath);
    place(document, path, field.type === "duration" ? printDuration(value as number) : value);
  }
  return document as unknown as KubeProxyConfiguration;
}

function place(target: { [name: string]: unknown }, path: string, value: unknown): void {
  const [name = "", ...rest] = path.split(".");
  if (rest.length === 0) {
    target[name] = value;
    return;
  }
  target[name] ??= {};
  place(target[name] as { [name: string]: unknown }, rest.join("."), value);
}
