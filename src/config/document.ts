/** Field values with their defaults, one by one and as the whole document that /configz shows. */
import type { Config, KubeProxyConfiguration } from "../config.ts";
import { printDuration } from "./duration.ts";
import {
  FIELDS,
  type Field,
  type FieldPath,
  type FieldValue,
  isUnset,
  OWN_FIELDS,
} from "./fields.ts";

/** What is set; durations in milliseconds. */
export type FieldValues = ReadonlyMap<FieldPath, FieldValue>;

const FIELD_BY_PATH: { readonly [path in FieldPath]: Field } = { ...FIELDS, ...OWN_FIELDS };

/** What a field comes to: what is set, or the default. */
export function effectiveValue(values: FieldValues, path: FieldPath): FieldValue {
  const field = FIELD_BY_PATH[path];
  const value = values.get(path);
  return value === undefined || isUnset(field, value) ? field.default : value;
}

/** Does the file or a flag say something about it? */
export function isSet(values: FieldValues, path: FieldPath): boolean {
  const field = FIELD_BY_PATH[path];
  const value = values.get(path);
  return value !== undefined && !isUnset(field, value);
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
