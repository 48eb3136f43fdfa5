/**
 * From field values to the Config in effect: defaults, the sections that the mode selects, and
 * every validation rule of upstream.
 */

import { type Cidr, parseCidr } from "../net/address.ts";
import { addressesOf } from "./build-addresses.ts";
import type { Config, DetectLocalMode } from "./config.ts";
import { documentOf, ownDocumentOf } from "./config-document.ts";
import type { Fault } from "./decode-config.ts";
import { printDuration } from "./duration.ts";
import type { FieldPath, PathOf } from "./fields.ts";
import { type FieldValues, INT32_MAX, Settings } from "./settings.ts";

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
 * validation/validation.go) with the differences that the tables of fields tell of. Faults are
 * added to `faults`; the result is of use only if there are none.
 */
export function buildConfig(values: FieldValues, extras: Extras, faults: Fault[]): Built {
  const settings = new Settings(values, faults);
  const mode = modeOf(settings);
  const manifests = settings.get("sluice.manifests");
  const gates = settings.get("featureGates");
  const served = servedIn(mode);
  const effective: Omit<Config, "document" | "ownDocument"> = {
    kubeconfig: manifests === "" ? settings.get("clientConnection.kubeconfig") : "",
    master: extras.master,
    mode: served,
    ...addressesOf(settings, served, extras.healthzOff),
    ...localOf(settings),
    ...syncingOf(settings, mode),
    ...nodeOf(settings),
    ...loggingOf(settings),
    externalIPs: gates["AllowServiceExternalIPs"] ?? true,
    // Upstream's default is true. A list is one answer as fast as the server can send it; WatchList
    // saves the server memory, and takes it longer.
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

/**
 * Whichever section says something is meant: what serves is known when the kernel has been asked.
 */
const EITHER = { own: ["nftables", "iptables"], periods: ["nftables", "iptables"] } as const;

/**
 * What `mode` may say: upstream's modes, `auto`, which is ours, and nothing, which upstream's
 * --proxy-mode describes as "use the best-available proxy". The section that goes with it
 * (iptables.syncPeriod, ...) is the one that is read.
 */
const SECTIONS_OF_MODE = {
  nftables: { own: ["nftables"], periods: ["nftables"] },
  iptables: { own: ["iptables"], periods: ["iptables"] },
  "": EITHER,
  auto: EITHER,
  // As upstream: ipvs has periods of its own, and the rest of iptables.
  ipvs: { own: ["iptables"], periods: ["ipvs"] },
} as const;

/** The mode as it was asked for. */
type Mode = keyof typeof SECTIONS_OF_MODE;

function modeOf(settings: Settings): Mode {
  const mode = settings.get("mode");
  if (Object.hasOwn(SECTIONS_OF_MODE, mode)) return mode as Mode;
  settings.fault("mode", "must be nftables, iptables, auto, ipvs or empty", mode);
  return "";
}

/** What serves in a mode. IPVS is not served: what is best is taken in its place. */
function servedIn(mode: Mode): Config["mode"] {
  return mode === "nftables" || mode === "iptables" ? mode : "auto";
}

function syncingOf(
  settings: Settings,
  mode: Mode,
): Pick<Config, "masqueradeBit" | "masqueradeAll" | "minSyncMs" | "syncPeriodMs"> {
  const { own, periods } = SECTIONS_OF_MODE[mode];
  const syncPath =
    settings.firstSet(periods.map((section) => `${section}.syncPeriod` as const)) ??
    (`${periods[0]}.syncPeriod` as const);
  const minPath = settings.firstSet(periods.map((section) => `${section}.minSyncPeriod` as const));
  const bitPath = settings.firstSet(own.map((section) => `${section}.masqueradeBit` as const));
  const allPath = settings.firstSet(own.map((section) => `${section}.masqueradeAll` as const));
  const syncPeriodMs = settings.get(syncPath);
  const minSyncMs = settings.getOrDefault(minPath, "nftables.minSyncPeriod");
  if (syncPeriodMs <= 0) {
    settings.fault(syncPath, "must be greater than 0", printDuration(syncPeriodMs));
  }
  // Without a path it is our default, 0.
  if (minPath !== undefined && minSyncMs < 0) {
    settings.fault(minPath, "must not be negative", printDuration(minSyncMs));
  } else if (minPath !== undefined && minSyncMs > syncPeriodMs && syncPeriodMs > 0) {
    const rule = `must be at most ${syncPath}, which is ${printDuration(syncPeriodMs)}`;
    settings.fault(minPath, rule, printDuration(minSyncMs));
  }
  // Upstream checks iptables.masqueradeBit in every mode.
  settings.checkRange("iptables.masqueradeBit", 0, 31);
  settings.checkRange("nftables.masqueradeBit", 0, 31);
  return {
    masqueradeBit: settings.getOrDefault(bitPath, "nftables.masqueradeBit"),
    masqueradeAll: settings.getOrDefault(allPath, "nftables.masqueradeAll"),
    minSyncMs,
    syncPeriodMs,
  };
}

const DETECT_LOCAL_MODES: readonly DetectLocalMode[] = [
  "ClusterCIDR",
  "NodeCIDR",
  "BridgeInterface",
  "InterfaceNamePrefix",
];

function localOf(settings: Settings): Pick<Config, "detectLocal" | "clusterCIDRs"> {
  const mode = settings.oneOf("detectLocalMode", DETECT_LOCAL_MODES);
  return {
    detectLocal: {
      mode,
      bridgeInterface:
        mode === "BridgeInterface"
          ? interfaceName(settings, "detectLocal.bridgeInterface", mode)
          : "",
      interfaceNamePrefix:
        mode === "InterfaceNamePrefix"
          ? interfaceName(settings, "detectLocal.interfaceNamePrefix", mode)
          : "",
    },
    clusterCIDRs: mode === "ClusterCIDR" ? clusterCidrs(settings) : [],
  };
}

function clusterCidrs(settings: Settings): readonly Cidr[] {
  const text = settings.get("clusterCIDR");
  if (text === "") return [];
  const cidrs = text.split(",").map((part) => parseCidr(part.trim()));
  const known = cidrs.filter((cidr) => cidr !== undefined);
  if (known.length < cidrs.length) {
    settings.fault("clusterCIDR", "must be CIDRs such as 10.0.0.0/8", text);
  } else if (new Set(known.map(({ family }) => family)).size < known.length) {
    settings.fault("clusterCIDR", "must be one CIDR, or one for each family", text);
  }
  return known;
}

function interfaceName(settings: Settings, path: PathOf<"string">, mode: DetectLocalMode): string {
  const name = settings.get(path);
  if (name === "") settings.fault(path, `must be set in mode ${mode}`, name);
  // IFNAMSIZ is 16 with the closing zero byte.
  else if (name.length > 15) {
    settings.fault(path, "must be at most 15 characters, as interface names are", name);
  }
  return name;
}

type Node = Pick<
  Config,
  "hostnameOverride" | "conntrack" | "dropInvalid" | "oomScoreAdj" | "removeKubeProxyRules"
>;

function nodeOf(settings: Settings): Node {
  return {
    hostnameOverride: hostname(settings),
    conntrack: {
      maxPerCore: settings.integer("conntrack.maxPerCore", 0, INT32_MAX),
      min: settings.integer("conntrack.min", 0, INT32_MAX),
      tcpBeLiberal: settings.get("conntrack.tcpBeLiberal"),
      tcpEstablishedMs: settings.timeout("conntrack.tcpEstablishedTimeout"),
      tcpCloseWaitMs: settings.timeout("conntrack.tcpCloseWaitTimeout"),
      udpMs: settings.timeout("conntrack.udpTimeout"),
      udpStreamMs: settings.timeout("conntrack.udpStreamTimeout"),
    },
    dropInvalid: settings.oneOf("sluice.dropInvalidPackets", ["auto", "always", "never"]),
    oomScoreAdj: settings.integer("oomScoreAdj", -1000, 1000),
    removeKubeProxyRules: settings.get("sluice.removeKubeProxyRules"),
  };
}

function hostname(settings: Settings): string {
  const value = settings.get("hostnameOverride");
  const name = value.trim().toLowerCase();
  if (name === "" && value !== "") settings.fault("hostnameOverride", "must not be blank", value);
  return name;
}

const OPTIONS_GATE = "LoggingAlphaOptions";

function loggingOf(settings: Settings): Pick<Config, "verbosity" | "logFormat" | "vmodule"> {
  const logFormat = settings.oneOf("logging.format", ["text", "json"]);
  const vmodule = settings.get("logging.vmodule");
  if (logFormat !== "text" && vmodule.length > 0) {
    settings.fault("logging.vmodule", "must be empty unless logging.format is text", vmodule);
  }
  const flush = settings.get("logging.flushFrequency");
  if (flush <= 0) {
    settings.fault("logging.flushFrequency", "must be greater than 0", printDuration(flush));
  }
  checkOptions(settings);
  return {
    verbosity: settings.integer("logging.verbosity", 0, INT32_MAX),
    logFormat,
    vmodule: vmodule.map(({ filePattern, verbosity }) => ({ pattern: filePattern, verbosity })),
  };
}

/**
 * splitStream needs the gate too, but kube-proxy loses it on the way from a file, and takes the
 * file.
 */
function checkOptions(settings: Settings): void {
  if (settings.get("featureGates")[OPTIONS_GATE] === true) return;
  for (const format of ["text", "json"] as const) {
    const path = `logging.options.${format}.infoBufferSize` as const;
    const bytes = settings.get(path);
    if (/^[+-]?[0.]+\D*$/.test(String(bytes))) continue;
    settings.fault(path, `must not be set without the feature gate ${OPTIONS_GATE}`, bytes);
  }
}

/** Rules of fields that have no effect: a file that kube-proxy refuses is refused here too. */
function checkTheRest(settings: Settings, mode: Mode): void {
  const burst = settings.get("clientConnection.burst");
  if (burst < 0) settings.fault("clientConnection.burst", "must not be negative", burst);
  const resync = settings.get("configSyncPeriod");
  if (resync <= 0) {
    settings.fault("configSyncPeriod", "must be greater than 0", printDuration(resync));
  }
  // Upstream wants its own previous minor version; which one that is depends on the kube-proxy a
  // file was for.
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
