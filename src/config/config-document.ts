/** The whole documents, with every default, that /configz shows. */

import { printCidr } from "../net/address.ts";
import type { Config, KubeProxyConfiguration, OwnConfiguration } from "./config.ts";
import type { FieldValue } from "./field.ts";
import { asWritten, type FieldPath, fieldAt, fieldPaths } from "./fields.ts";
import { effectiveValue, type FieldValues } from "./settings.ts";

type Effective = Omit<Config, "document" | "ownDocument">;
type Values = { readonly [path in FieldPath]?: FieldValue };

/**
 * Upstream's shape with every default, and what is in effect in the place where upstream would have
 * it.
 */
export function documentOf(values: FieldValues, effective: Effective): KubeProxyConfiguration {
  const { mode, nodePortAddresses } = effective;
  // kube-proxy does not know the word auto; for us blank is the same.
  const sections = mode === "auto" ? (["nftables", "iptables"] as const) : [mode];
  const given = effectiveValue(values, "nodePortAddresses") ?? [];
  const replaced: Values = {
    mode: mode === "auto" ? "" : mode,
    hostnameOverride: effective.hostnameOverride,
    healthzBindAddress: effective.healthzBindAddress,
    metricsBindAddress: effective.metricsBindAddress,
    // What it is for lack of a setting depends on the mode, and is not the same in kube-proxy.
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

/** Our own section, with every default. */
export function ownDocumentOf(values: FieldValues, effective: Effective): OwnConfiguration {
  const replaced: Values = { "sluice.adminBindAddress": effective.adminBindAddress };
  const document: { sluice?: OwnConfiguration } = {};
  for (const path of fieldPaths("own")) place(document, path, shown(path, values, replaced));
  return document.sluice ?? {};
}

/** As a file would have it. */
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
