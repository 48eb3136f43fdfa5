/** Builds the complete documents, with every default, that /configz shows. */

import { printCidr } from "../net/address.ts";
import type { Config, KubeProxyConfiguration, SluiceConfiguration } from "./config.ts";
import type { FieldValue } from "./field.ts";
import { asWritten, type FieldPath, fieldAt, fieldPaths } from "./fields.ts";
import { effectiveValue, type FieldValues } from "./settings.ts";

type Effective = Omit<Config, "document" | "ownDocument">;
type Values = { readonly [path in FieldPath]?: FieldValue };

/**
 * Builds kube-proxy's document with every default. Effective values are in the fields where
 * kube-proxy would have them.
 */
export function kubeProxyDocument(
  values: FieldValues,
  effective: Effective,
): KubeProxyConfiguration {
  const { mode, nodePortAddresses } = effective;
  // kube-proxy does not know the mode auto. For Sluice, an empty mode means the same.
  const sections = mode === "auto" ? (["nftables", "iptables"] as const) : [mode];
  const given = effectiveValue(values, "nodePortAddresses") ?? [];
  const replaced: Values = {
    mode: mode === "auto" ? "" : mode,
    hostnameOverride: effective.hostnameOverride,
    healthzBindAddress: effective.healthzBindAddress,
    metricsBindAddress: effective.metricsBindAddress,
    // The default depends on the mode and differs from kube-proxy's, so it is written out.
    nodePortAddresses: nodePortAddresses.primary
      ? ["primary"]
      : given.length > 0
        ? given
        : nodePortAddresses.cidrs.map(printCidr),
    "iptables.localhostNodePorts": effective.localhostNodePorts,
    ...Object.assign({}, ...sections.map((section) => sectionOf(section, effective))),
  };
  const document = {
    kind: "KubeProxyConfiguration",
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
  };
  for (const path of fieldPaths("upstream")) place(document, path, shown(path, values, replaced));
  return document;
}

function sectionOf(section: "nftables" | "iptables", effective: Effective): Values {
  return {
    [`${section}.masqueradeBit`]: effective.masqueradeBit,
    [`${section}.masqueradeAll`]: effective.masqueradeAll,
    [`${section}.syncPeriod`]: effective.syncPeriodMs,
    [`${section}.minSyncPeriod`]: effective.minSyncMs,
  };
}

/** Builds our own section, with every default. */
export function sluiceDocument(values: FieldValues, effective: Effective): SluiceConfiguration {
  const replaced: Values = { "sluice.adminBindAddress": effective.adminBindAddress };
  const document: { sluice?: SluiceConfiguration } = {};
  for (const path of fieldPaths("own")) place(document, path, shown(path, values, replaced));
  return document.sluice ?? {};
}

/** Returns the value as a file would contain it. */
function shown(path: FieldPath, values: FieldValues, replaced: Values): unknown {
  const replacement = replaced[path];
  return asWritten(fieldAt(path).type, replacement ?? effectiveValue(values, path));
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
