/**
 * Builds the effective Config from field values: it applies defaults, reads the sections of the
 * mode, and checks every validation rule of kube-proxy.
 */

import { type Cidr, parseCidr } from "../net/address.ts";
import { resolveAddresses } from "./build-addresses.ts";
import type { Config, DetectLocalMode } from "./config.ts";
import { kubeProxyDocument, sluiceDocument } from "./config-document.ts";
import type { ConfigFault } from "./decode-config.ts";
import { printDuration } from "./duration.ts";
import type { FieldPath, PathOf } from "./fields.ts";
import { FieldReader, type FieldValues, INT32_MAX } from "./settings.ts";

/** Settings that only flags can make. */
export interface ExtraSettings {
  readonly master: string;
  /** True for --healthz-port=0. */
  readonly healthzOff: boolean;
}

/** The configuration, and the settings that have no effect in it. */
export interface BuiltConfig {
  readonly config: Config;
  /** @see FieldReader.ignored */
  readonly ignored: readonly FieldPath[];
}

/**
 * Applies kube-proxy's defaults and validation (pkg/proxy/apis/config: v1alpha1/defaults.go,
 * validation/validation.go), with the differences that the tables in fields.ts describe. Faults are
 * added to `faults`. Use the result only if there are none.
 */
export function buildConfig(
  values: FieldValues,
  extras: ExtraSettings,
  faults: ConfigFault[],
): BuiltConfig {
  const settings = new FieldReader(values, faults);
  const mode = modeOf(settings);
  const manifests = settings.get("sluice.manifests");
  const gates = settings.get("featureGates");
  const served = backendOf(mode);
  const effective: Omit<Config, "document" | "ownDocument"> = {
    kubeconfig: manifests === "" ? settings.get("clientConnection.kubeconfig") : "",
    master: extras.master,
    mode: served,
    ...resolveAddresses(settings, served, extras.healthzOff),
    ...localOf(settings),
    ...syncingOf(settings, mode),
    ...nodeOf(settings),
    ...loggingOf(settings),
    externalIPs: gates["AllowServiceExternalIPs"] ?? true,
    // kube-proxy's default is true. A list is one response at the server's full speed. WatchList
    // saves memory on the server but takes it longer.
    watchList: gates["WatchListClient"] ?? false,
    profiling: settings.get("enableProfiling"),
    counters: settings.get("sluice.counters"),
    manifests,
    endpointMetricsLimit: settings.integer("sluice.endpointMetricsLimit", 0, 1_000_000),
  };
  checkUnused(settings, mode);
  return {
    config: {
      ...effective,
      document: kubeProxyDocument(values, effective),
      ownDocument: sluiceDocument(values, effective),
    },
    ignored: settings.ignored(),
  };
}

/** The backend is known only after probing the kernel, so a setting in either section counts. */
const BOTH_SECTIONS = { own: ["nftables", "iptables"], periods: ["nftables", "iptables"] } as const;

/**
 * The values of `mode` and the sections they read (for example iptables.syncPeriod). `auto` is
 * ours. The empty mode is kube-proxy's "use the best-available proxy" (--proxy-mode).
 */
const SECTIONS_OF_MODE = {
  nftables: { own: ["nftables"], periods: ["nftables"] },
  iptables: { own: ["iptables"], periods: ["iptables"] },
  "": BOTH_SECTIONS,
  auto: BOTH_SECTIONS,
  // As in kube-proxy: ipvs has its own periods and takes the rest from iptables.
  ipvs: { own: ["iptables"], periods: ["ipvs"] },
} as const;

/** The requested mode. */
type RequestedMode = keyof typeof SECTIONS_OF_MODE;

function modeOf(settings: FieldReader): RequestedMode {
  const mode = settings.get("mode");
  if (Object.hasOwn(SECTIONS_OF_MODE, mode)) return mode as RequestedMode;
  settings.fault("mode", "must be nftables, iptables, auto, ipvs or empty", mode);
  return "";
}

/** Returns the backend of a mode. IPVS is not supported, so `auto` takes its place. */
function backendOf(mode: RequestedMode): Config["mode"] {
  return mode === "nftables" || mode === "iptables" ? mode : "auto";
}

function syncingOf(
  settings: FieldReader,
  mode: RequestedMode,
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
  // Without a path, the value is our default, 0.
  if (minPath !== undefined && minSyncMs < 0) {
    settings.fault(minPath, "must be 0 or greater", printDuration(minSyncMs));
  } else if (minPath !== undefined && minSyncMs > syncPeriodMs && syncPeriodMs > 0) {
    const rule = `must be at most ${syncPath} (${printDuration(syncPeriodMs)})`;
    settings.fault(minPath, rule, printDuration(minSyncMs));
  }
  // kube-proxy checks iptables.masqueradeBit in every mode.
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

function localOf(settings: FieldReader): Pick<Config, "detectLocal" | "clusterCIDRs"> {
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

function clusterCidrs(settings: FieldReader): readonly Cidr[] {
  const text = settings.get("clusterCIDR");
  if (text === "") return [];
  const cidrs = text.split(",").map((part) => parseCidr(part.trim()));
  const known = cidrs.filter((cidr) => cidr !== undefined);
  const families = new Set(known.map(({ family }) => family));
  if (known.length < cidrs.length || families.size < known.length) {
    const rule = "must be one CIDR, or one per family such as 10.0.0.0/8,fd00::/8";
    settings.fault("clusterCIDR", rule, text);
  }
  return known;
}

function interfaceName(
  settings: FieldReader,
  path: PathOf<"string">,
  mode: DetectLocalMode,
): string {
  const name = settings.get(path);
  if (name === "") settings.fault(path, `must be set in mode ${mode}`, name);
  // IFNAMSIZ is 16, including the final zero byte.
  else if (name.length > 15) {
    settings.fault(path, "must be at most 15 characters long, the limit of interface names", name);
  }
  return name;
}

type NodeSettings = Pick<
  Config,
  "hostnameOverride" | "conntrack" | "dropInvalid" | "oomScoreAdj" | "removeKubeProxyRules"
>;

function nodeOf(settings: FieldReader): NodeSettings {
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

function hostname(settings: FieldReader): string {
  const value = settings.get("hostnameOverride");
  const name = value.trim().toLowerCase();
  if (name === "" && value !== "") settings.fault("hostnameOverride", "must not be blank", value);
  return name;
}

const OPTIONS_GATE = "LoggingAlphaOptions";

function loggingOf(settings: FieldReader): Pick<Config, "verbosity" | "logFormat" | "vmodule"> {
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
 * Checks logging options that require a feature gate. splitStream requires it too, but kube-proxy
 * loses it when it reads a file, and so accepts the file.
 */
function checkOptions(settings: FieldReader): void {
  if (settings.get("featureGates")[OPTIONS_GATE] === true) return;
  for (const format of ["text", "json"] as const) {
    const path = `logging.options.${format}.infoBufferSize` as const;
    const bytes = settings.get(path);
    if (/^[+-]?[0.]+\D*$/.test(String(bytes))) continue;
    settings.fault(path, `must be unset unless the feature gate ${OPTIONS_GATE} is on`, bytes);
  }
}

/** Checks fields that have no effect here: a file that kube-proxy rejects is rejected here too. */
function checkUnused(settings: FieldReader, mode: RequestedMode): void {
  const burst = settings.get("clientConnection.burst");
  if (burst < 0) settings.fault("clientConnection.burst", "must be 0 or greater", burst);
  const resync = settings.get("configSyncPeriod");
  if (resync <= 0) {
    settings.fault("configSyncPeriod", "must be greater than 0", printDuration(resync));
  }
  // kube-proxy requires its own previous minor version. Here the version of the kube-proxy that the
  // file was written for is unknown.
  const version = settings.get("showHiddenMetricsForVersion");
  if (!/^(\d+\.\d+)?$/.test(version)) {
    settings.fault("showHiddenMetricsForVersion", "must be a version such as 1.35", version);
  }
  if (mode === "ipvs") checkIpvs(settings);
}

function checkIpvs(settings: FieldReader): void {
  for (const path of ["ipvs.tcpTimeout", "ipvs.tcpFinTimeout", "ipvs.udpTimeout"] as const) {
    settings.timeout(path);
  }
  for (const [index, text] of (settings.get("ipvs.excludeCIDRs") ?? []).entries()) {
    if (!parseCidr(text)) settings.fault(`ipvs.excludeCIDRs[${index}]`, "must be a CIDR", text);
  }
}
