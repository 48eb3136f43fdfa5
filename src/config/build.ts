/** From field values to the Config in effect: defaults, the mode's own section, and every rule of upstream. */

import type { Config, DetectLocalMode } from "../config.ts";
import { parseAddress, parseCidr, parseListenAddress } from "../net/address.ts";
import type { Cidr } from "../types.ts";
import type { Fault } from "./decode.ts";
import {
  differsFromDefault,
  documentOf,
  effectiveValue,
  type FieldValues,
  isSet,
} from "./document.ts";
import { printDuration } from "./duration.ts";
import { type FieldPath, fieldAt, type PathOf, type ValueAt } from "./fields.ts";

const DETECT_LOCAL_MODES: readonly DetectLocalMode[] = [
  "ClusterCIDR",
  "NodeCIDR",
  "BridgeInterface",
  "InterfaceNamePrefix",
];

/**
 * The modes of upstream. All of them are served by nftables here: what a mode means to a user is how Services
 * behave, and that is the same. A file that asks for iptables or ipvs keeps working when it is handed to
 * Sluice unchanged; the section it fills in (iptables.syncPeriod, ...) is the one that is read.
 */
const SECTIONS_OF_MODE: { readonly [mode: string]: readonly ("nftables" | "iptables")[] } = {
  nftables: ["nftables"],
  // Upstream's default is iptables, ours nftables: whichever section says something is meant.
  "": ["nftables", "iptables"],
  iptables: ["iptables"],
  ipvs: ["iptables"],
};

const HEALTHZ_PORT = 10256;
const METRICS_PORT = 10249;

/** What only flags can say. */
export interface Extras {
  readonly master: string;
  /** --healthz-port=0: the only way to turn the health server off. */
  readonly healthzOff: boolean;
}

/** The configuration, and what of it was said in vain. */
export interface Built {
  readonly config: Config;
  /**
   * Fields that are set and would count in another mode, or beside other settings, but do not in these; without
   * those that say no more than the default.
   */
  readonly ignored: readonly FieldPath[];
}

/**
 * Applies upstream's defaults and validation (pkg/proxy/apis/config: v1alpha1/defaults.go,
 * validation/validation.go) with the differences that fields.ts tells of. Faults are added to `faults`; the
 * result is of use only if there are none.
 */
export function buildConfig(values: FieldValues, extras: Extras, faults: Fault[]): Built {
  const builder = new Builder(values, faults);
  const mode = builder.mode();
  const syncing = builder.syncing(mode);
  const bindAddress = builder.bindAddress();
  const nodePortAddresses = builder.nodePortAddresses(mode);
  const detectLocal = builder.detectLocal();
  const manifests = builder.get("sluice.manifests");
  const effective: Omit<Config, "document"> = {
    kubeconfig: manifests === "" ? builder.get("clientConnection.kubeconfig") : "",
    master: extras.master,
    hostnameOverride: builder.hostname(),
    bindAddress,
    healthzBindAddress: extras.healthzOff
      ? ""
      : builder.listenAddress("healthzBindAddress", bindAddress, HEALTHZ_PORT),
    metricsBindAddress: builder.listenAddress("metricsBindAddress", bindAddress, METRICS_PORT),
    bindAddressHardFail: builder.get("bindAddressHardFail"),
    detectLocal,
    clusterCIDRs: detectLocal.mode === "ClusterCIDR" ? builder.clusterCidrs() : [],
    nodePortAddresses,
    ...syncing,
    adminBindAddress: "",
    dropInvalid: "auto",
    externalIPs: true,
    watchList: false,
    removeKubeProxyRules: true,
    oomScoreAdj: builder.integer("oomScoreAdj", -1000, 1000),
    profiling: builder.get("enableProfiling"),
    vmodule: [],
    conntrack: builder.conntrack(),
    verbosity: builder.integer("logging.verbosity", 0, 2 ** 31 - 1),
    logFormat: builder.logFormat(),
    counters: builder.get("sluice.counters"),
    manifests,
    endpointMetricsLimit: builder.integer("sluice.endpointMetricsLimit", 0, 1_000_000),
  };
  builder.checkTheRest(mode);
  return {
    config: { ...effective, document: documentOf(values, effective) },
    ignored: builder.ignored(),
  };
}

class Builder {
  readonly #values: FieldValues;
  readonly #faults: Fault[];
  readonly #used = new Set<FieldPath>();

  constructor(values: FieldValues, faults: Fault[]) {
    this.#values = values;
    this.#faults = faults;
  }

  /** The value in effect, which the configuration then depends on. */
  get<Path extends FieldPath>(path: Path): ValueAt<Path> {
    this.#used.add(path);
    return effectiveValue(this.#values, path);
  }

  integer(path: PathOf<"integer">, from: number, to: number): number {
    this.#checkRange(path, from, to);
    return this.get(path);
  }

  ignored(): FieldPath[] {
    return [...this.#values.keys()].filter((path) => {
      if (this.#used.has(path) || !fieldAt(path).effect) return false;
      return differsFromDefault(this.#values, path);
    });
  }

  mode(): string {
    const mode = this.get("mode");
    if (!Object.hasOwn(SECTIONS_OF_MODE, mode)) {
      this.fault("mode", "must be nftables, iptables, ipvs or empty", mode);
      return "";
    }
    return mode;
  }

  syncing(mode: string) {
    const sections = SECTIONS_OF_MODE[mode] ?? [];
    const own = sections[0] ?? "nftables";
    const periodSections = mode === "ipvs" ? (["ipvs", ...sections] as const) : sections;
    const syncPath =
      this.#firstSet(periodSections.map((section) => `${section}.syncPeriod` as const)) ??
      (`${own}.syncPeriod` as const);
    const minPath = this.#firstSet(
      periodSections.map((section) => `${section}.minSyncPeriod` as const),
    );
    const bitPath = this.#firstSet(sections.map((section) => `${section}.masqueradeBit` as const));
    const allPath = this.#firstSet(sections.map((section) => `${section}.masqueradeAll` as const));
    const syncPeriodMs = this.get(syncPath);
    const minSyncMs = this.#getOrDefault(minPath, "nftables.minSyncPeriod");
    if (syncPeriodMs <= 0)
      this.fault(syncPath, "must be greater than 0", printDuration(syncPeriodMs));
    // Without a path it is our default, 0.
    if (minPath !== undefined && minSyncMs < 0) {
      this.fault(minPath, "must not be negative", printDuration(minSyncMs));
    } else if (minPath !== undefined && minSyncMs > syncPeriodMs && syncPeriodMs > 0) {
      const rule = `must be at most ${syncPath}, which is ${printDuration(syncPeriodMs)}`;
      this.fault(minPath, rule, printDuration(minSyncMs));
    }
    // Upstream checks iptables.masqueradeBit in every mode.
    this.#checkRange("iptables.masqueradeBit", 0, 31);
    this.#checkRange("nftables.masqueradeBit", 0, 31);
    return {
      masqueradeBit: this.#getOrDefault(bitPath, "nftables.masqueradeBit"),
      masqueradeAll: this.#getOrDefault(allPath, "nftables.masqueradeAll"),
      minSyncMs,
      syncPeriodMs,
    };
  }

  hostname(): string {
    const value = this.get("hostnameOverride");
    const name = value.trim().toLowerCase();
    if (name === "" && value !== "") this.fault("hostnameOverride", "must not be blank", value);
    return name;
  }

  bindAddress(): string {
    const value = this.get("bindAddress");
    if (!parseAddress(value)) this.fault("bindAddress", "must be an IP address", value);
    return value;
  }

  /** `ip:port`. A bare IP gets upstream's port; nothing gets upstream's address, of bindAddress's family. */
  listenAddress(
    path: "healthzBindAddress" | "metricsBindAddress",
    bind: string,
    port: number,
  ): string {
    const value = this.get(path);
    if (value === "") {
      const six = parseAddress(bind)?.family === 6;
      if (path === "healthzBindAddress") return `${six ? "[::]" : "0.0.0.0"}:${port}`;
      return `${six ? "[::1]" : "127.0.0.1"}:${port}`;
    }
    if (parseAddress(value)) return value.includes(":") ? `[${value}]:${port}` : `${value}:${port}`;
    if (!parseListenAddress(value))
      this.fault(path, "must be IP:port, with a port from 1 to 65535", value);
    return value;
  }

  detectLocal(): Config["detectLocal"] {
    const given = this.get("detectLocalMode");
    const mode = DETECT_LOCAL_MODES.find((known) => known === given);
    if (mode === undefined) {
      this.fault("detectLocalMode", `must be one of ${DETECT_LOCAL_MODES.join(", ")}`, given);
    }
    return {
      mode: mode ?? "ClusterCIDR",
      bridgeInterface:
        mode === "BridgeInterface" ? this.#interfaceName("detectLocal.bridgeInterface", mode) : "",
      interfaceNamePrefix:
        mode === "InterfaceNamePrefix"
          ? this.#interfaceName("detectLocal.interfaceNamePrefix", mode)
          : "",
    };
  }

  clusterCidrs(): readonly Cidr[] {
    const text = this.get("clusterCIDR");
    if (text === "") return [];
    const cidrs = text.split(",").map((part) => parseCidr(part.trim()));
    const known = cidrs.filter((cidr) => cidr !== undefined);
    if (known.length < cidrs.length)
      this.fault("clusterCIDR", "must be CIDRs such as 10.0.0.0/8", text);
    else if (new Set(known.map(({ family }) => family)).size < known.length) {
      this.fault("clusterCIDR", "must be one CIDR, or one for each family", text);
    }
    return known;
  }

  nodePortAddresses(mode: string): Config["nodePortAddresses"] {
    const list = this.get("nodePortAddresses") ?? [];
    // Upstream's defaults: the primary addresses with nftables, all addresses with iptables and ipvs. Whoever
    // asks for one of those by name relies on it.
    if (list.length === 0) return { primary: mode !== "iptables" && mode !== "ipvs", cidrs: [] };
    if (list.includes("primary")) {
      if (list.length > 1)
        this.fault("nodePortAddresses", "must not have anything beside primary", list);
      return { primary: true, cidrs: [] };
    }
    const cidrs: Cidr[] = [];
    for (const [index, text] of list.entries()) {
      const cidr = parseCidr(text);
      if (cidr) cidrs.push(cidr);
      else this.fault(`nodePortAddresses[${index}]`, "must be a CIDR or primary", text);
    }
    return { primary: false, cidrs };
  }

  logFormat(): Config["logFormat"] {
    const format = this.get("logging.format");
    if (format !== "text" && format !== "json")
      this.fault("logging.format", "must be text or json", format);
    return format === "json" ? "json" : "text";
  }

  conntrack(): Config["conntrack"] {
    return {
      maxPerCore: this.get("conntrack.maxPerCore"),
      min: this.get("conntrack.min"),
      tcpBeLiberal: this.get("conntrack.tcpBeLiberal"),
      tcpEstablishedMs: this.get("conntrack.tcpEstablishedTimeout"),
      tcpCloseWaitMs: this.get("conntrack.tcpCloseWaitTimeout"),
      udpMs: this.get("conntrack.udpTimeout"),
      udpStreamMs: this.get("conntrack.udpStreamTimeout"),
    };
  }

  /** Rules of fields that have no effect yet: a file that kube-proxy refuses is refused here too. */
  checkTheRest(mode: string): void {
    for (const path of [
      "clientConnection.burst",
      "conntrack.maxPerCore",
      "conntrack.min",
    ] as const) {
      const value = this.get(path);
      if (value < 0) this.fault(path, "must not be negative", value);
    }
    const timeouts: readonly PathOf<"duration">[] = [
      "conntrack.tcpEstablishedTimeout",
      "conntrack.tcpCloseWaitTimeout",
      "conntrack.udpTimeout",
      "conntrack.udpStreamTimeout",
      ...(mode === "ipvs"
        ? (["ipvs.tcpTimeout", "ipvs.tcpFinTimeout", "ipvs.udpTimeout"] as const)
        : []),
    ];
    for (const path of timeouts) {
      const ms = this.get(path);
      if (ms < 0) this.fault(path, "must not be negative", printDuration(ms));
    }
    const resync = this.get("configSyncPeriod");
    if (resync <= 0)
      this.fault("configSyncPeriod", "must be greater than 0", printDuration(resync));
  }

  fault(path: string, rule: string, value: unknown): void {
    this.#faults.push({ path, rule, value });
  }

  #firstSet<Path extends FieldPath>(paths: readonly Path[]): Path | undefined {
    return paths.find((path) => isSet(this.#values, path));
  }

  /**
   * Defaults are those of nftables whatever the mode, since nftables is what serves; what the file says in
   * nftables' section counts only in a mode that reads it.
   */
  #getOrDefault<Path extends FieldPath>(path: Path | undefined, like: Path): ValueAt<Path> {
    return path === undefined ? effectiveValue(new Map(), like) : this.get(path);
  }

  /** Also of a field that does not count here: upstream refuses it in every mode. */
  #checkRange(path: PathOf<"integer">, from: number, to: number): void {
    const value = effectiveValue(this.#values, path);
    if (value < from || value > to) this.fault(path, `must be ${from} to ${to}`, value);
  }

  #interfaceName(path: PathOf<"string">, mode: DetectLocalMode): string {
    const name = this.get(path);
    if (name === "") this.fault(path, `must be set in mode ${mode}`, name);
    // IFNAMSIZ is 16 with the closing zero byte.
    else if (name.length > 15)
      this.fault(path, "must be at most 15 characters, as interface names are", name);
    return name;
  }
}
