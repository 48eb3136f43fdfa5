/** From field values to the Config in effect: defaults, the mode's own section, and every rule of upstream. */

import { parseCidr } from "../net/address.ts";
import type { FieldPath } from "./all-fields.ts";
import { addressesOf } from "./build-addresses.ts";
import { localOf } from "./build-local.ts";
import { loggingOf } from "./build-log.ts";
import { nodeOf } from "./build-node.ts";
import { type Mode, modeOf, servedIn, syncingOf } from "./build-sync.ts";
import type { Config } from "./config.ts";
import type { Fault } from "./decode.ts";
import { documentOf, type FieldValues, ownDocumentOf } from "./document.ts";
import { printDuration } from "./duration.ts";
import { Settings } from "./settings.ts";

/** What only flags can say. */
export interface Extras {
  readonly master: string;
  /** --healthz-port=0. */
  readonly healthzOff: boolean;
}

/** The configuration, and what of it was said in vain. */
export interface Built {
  readonly config: Config;
  /** @see Settings.ignored */
  readonly ignored: readonly FieldPath[];
}

/**
 * Applies upstream's defaults and validation (pkg/proxy/apis/config: v1alpha1/defaults.go,
 * validation/validation.go) with the differences that the tables of fields tell of. Faults are added to `faults`;
 * the result is of use only if there are none.
 */
export function buildConfig(values: FieldValues, extras: Extras, faults: Fault[]): Built {
  const settings = new Settings(values, faults);
  const mode = modeOf(settings);
  const manifests = settings.get("sluice.manifests");
  const gates = settings.get("featureGates");
  const effective: Omit<Config, "document" | "ownDocument"> = {
    kubeconfig: manifests === "" ? settings.get("clientConnection.kubeconfig") : "",
    master: extras.master,
    mode: servedIn(mode),
    ...addressesOf(settings, mode, extras.healthzOff),
    ...localOf(settings),
    ...syncingOf(settings, mode),
    ...nodeOf(settings),
    ...loggingOf(settings),
    externalIPs: gates["AllowServiceExternalIPs"] ?? true,
    // Upstream's default is true. A list is one answer as fast as the server can send it; WatchList saves the
    // server memory, and takes it longer.
    watchList: gates["WatchListClient"] ?? false,
    profiling: settings.get("enableProfiling"),
    counters: settings.get("sluice.counters"),
    manifests,
    endpointMetricsLimit: settings.integer("sluice.endpointMetricsLimit", 0, 1_000_000),
  };
  checkTheRest(settings, mode);
  return {
    config: {
      ...effective,
      document: documentOf(values, effective),
      ownDocument: ownDocumentOf(values, effective),
    },
    ignored: settings.ignored(),
  };
}

/** Rules of fields that have no effect: a file that kube-proxy refuses is refused here too. */
function checkTheRest(settings: Settings, mode: Mode): void {
  const burst = settings.get("clientConnection.burst");
  if (burst < 0) settings.fault("clientConnection.burst", "must not be negative", burst);
  const resync = settings.get("configSyncPeriod");
  if (resync <= 0) {
    settings.fault("configSyncPeriod", "must be greater than 0", printDuration(resync));
  }
  // Upstream wants its own previous minor version; which one that is depends on the kube-proxy a file was for.
  const version = settings.get("showHiddenMetricsForVersion");
  if (!/^(\d+\.\d+)?$/.test(version)) {
    settings.fault("showHiddenMetricsForVersion", "must be a version such as 1.35", version);
  }
  if (mode === "ipvs") checkIpvs(settings);
}

function checkIpvs(settings: Settings): void {
  for (const path of ["ipvs.tcpTimeout", "ipvs.tcpFinTimeout", "ipvs.udpTimeout"] as const) {
    settings.timeout(path);
  }
  for (const [index, text] of (settings.get("ipvs.excludeCIDRs") ?? []).entries()) {
    if (!parseCidr(text)) settings.fault(`ipvs.excludeCIDRs[${index}]`, "must be a CIDR", text);
  }
}
