/** From field values to the Config in effect: defaults, the mode's own section, and every rule of upstream. */
import { parseAddress, parseCidr, parseListenAddress } from "../address.ts";
import type { Config, DetectLocalMode } from "../config.ts";
import type { Cidr } from "../types.ts";
import type { Fault } from "./decode.ts";
import { documentOf, effectiveValue, type FieldValues, isSet } from "./document.ts";
import { printDuration } from "./duration.ts";
import type { FieldPath, FieldValue } from "./fields.ts";

const DETECT_LOCAL_MODES: readonly string[] = [
  "ClusterCIDR",
  "NodeCIDR",
  "BridgeInterface",
  "InterfaceNamePrefix",
] satisfies DetectLocalMode[];

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

/** Everything that is not in upstream's fields. */
export interface Extras {
  readonly master: string;
  /** --healthz-port=0: the only way to turn the health server off. */
  readonly healthzOff: boolean;
}

/** Faults are added to `faults`; the result is of use only if there are none. */
export function buildConfig(values: FieldValues, extras: Extras, faults: Fault[]): Config {
  const builder = new Builder(values, faults);
  const mode = builder.mode();
  const syncing = builder.syncing(mode);
  const bindAddress = builder.bindAddress();
  const nodePortAddresses = builder.nodePortAddresses(mode);
  const detectLocal = builder.detectLocal();
  const effective: Omit<Config, "document"> = {
    kubeconfig: builder.text("clientConnection.kubeconfig"),
    master: extras.master,
    hostnameOverride: builder.hostname(),
    bindAddress,
    healthzBindAddress: extras.healthzOff
      ? ""
      : builder.listenAddress("healthzBindAddress", bindAddress, HEALTHZ_PORT),
    metricsBindAddress: builder.listenAddress("metricsBindAddress", bindAddress, METRICS_PORT),
    bindAddressHardFail: builder.get("bindAddressHardFail") as boolean,
    detectLocal,
    clusterCIDRs: detectLocal.mode === "ClusterCIDR" ? builder.clusterCidrs() : [],
    nodePortAddresses,
    ...syncing,
    verbosity: builder.integer("logging.verbosity", 0, 2 ** 31 - 1),
    logFormat: builder.logFormat(),
    counters: builder.get("sluice.counters") as boolean,
    manifests: builder.text("sluice.manifests"),
    endpointMetricsLimit: builder.integer("sluice.endpointMetricsLimit", 0, 1_000_000),
  };
  builder.checkTheRest(mode);
  return { ...effective, document: documentOf(values, effective) };
}

class Builder {
  readonly #values: FieldValues;
  readonly #faults: Fault[];

  constructor(values: FieldValues, faults: Fault[]) {
    this.#values = values;
    this.#faults = faults;
  }

  get(path: FieldPath): FieldValue {
    return effectiveValue(this.#values, path);
  }

  text(path: FieldPath): string {
    return this.get(path) as string;
  }

  fault(path: string, rule: string, value: unknown = this.get(path as FieldPath)): void {
    this.#faults.push({ path, rule, value });
  }

  integer(path: FieldPath, from: number, to: number): number {
    const value = this.get(path) as number;
    if (value < from || value > to) this.fault(path, `must be ${from} to ${to}`);
    return value;
  }

  mode(): string {
    const mode = this.text("mode");
    if (!Object.hasOwn(SECTIONS_OF_MODE, mode)) {
      this.fault("mode", "must be nftables, iptables, ipvs or empty");
      return "";
    }
    return mode;
  }

  syncing(mode: string) {
    const sections = SECTIONS_OF_MODE[mode] ?? [];
    const pick = (name: "masqueradeBit" | "masqueradeAll" | "syncPeriod" | "minSyncPeriod") => {
      const paths: FieldPath[] = sections.map((section) => `${section}.${name}` as const);
      if (mode === "ipvs" && (name === "syncPeriod" || name === "minSyncPeriod")) {
        paths.unshift(`ipvs.${name}`);
      }
      return paths.find((path) => isSet(this.#values, path)) ?? (`nftables.${name}` as const);
    };
    const syncPath = pick("syncPeriod");
    const minPath = pick("minSyncPeriod");
    const syncPeriodMs = this.get(syncPath) as number;
    const minSyncMs = this.get(minPath) as number;
    if (syncPeriodMs <= 0)
      this.fault(syncPath, "must be greater than 0", printDuration(syncPeriodMs));
    if (minSyncMs < 0) this.fault(minPath, "must not be negative", printDuration(minSyncMs));
    else if (minSyncMs > syncPeriodMs && syncPeriodMs > 0) {
      const rule = `must be at most ${syncPath}, which is ${printDuration(syncPeriodMs)}`;
      this.fault(minPath, rule, printDuration(minSyncMs));
    }
    // Upstream checks iptables.masqueradeBit in every mode.
    this.integer("iptables.masqueradeBit", 0, 31);
    this.integer("nftables.masqueradeBit", 0, 31);
    return {
      masqueradeBit: this.get(pick("masqueradeBit")) as number,
      masqueradeAll: this.get(pick("masqueradeAll")) as boolean,
      minSyncMs,
      syncPeriodMs,
    };
  }

  hostname(): string {
    const value = this.text("hostnameOverride");
    const name = value.trim().toLowerCase();
    if (name === "" && value !== "") this.fault("hostnameOverride", "must not be blank");
    return name;
  }

  bindAddress(): string {
    const value = this.text("bindAddress");
    if (!parseAddress(value)) this.fault("bindAddress", "must be an IP address");
    return value;
  }

  /** `ip:port`. A bare IP gets upstream's port; nothing gets upstream's address, of bindAddress's family. */
  listenAddress(
    path: "healthzBindAddress" | "metricsBindAddress",
    bind: string,
    port: number,
  ): string {
    const value = this.text(path);
    if (value === "") {
      const six = parseAddress(bind)?.family === 6;
      if (path === "healthzBindAddress") return `${six ? "[::]" : "0.0.0.0"}:${port}`;
      return `${six ? "[::1]" : "127.0.0.1"}:${port}`;
    }
    if (parseAddress(value)) return value.includes(":") ? `[${value}]:${port}` : `${value}:${port}`;
    if (!parseListenAddress(value))
      this.fault(path, "must be IP:port, with a port from 1 to 65535");
    return value;
  }

  detectLocal(): Config["detectLocal"] {
    const mode = this.text("detectLocalMode");
    const bridgeInterface = this.text("detectLocal.bridgeInterface");
    const interfaceNamePrefix = this.text("detectLocal.interfaceNamePrefix");
    if (!DETECT_LOCAL_MODES.includes(mode)) {
      this.fault("detectLocalMode", `must be one of ${DETECT_LOCAL_MODES.join(", ")}`);
    }
    if (mode === "BridgeInterface") this.#interfaceName("detectLocal.bridgeInterface", mode);
    if (mode === "InterfaceNamePrefix")
      this.#interfaceName("detectLocal.interfaceNamePrefix", mode);
    return { mode: mode as DetectLocalMode, bridgeInterface, interfaceNamePrefix };
  }

  clusterCidrs(): readonly Cidr[] {
    const text = this.text("clusterCIDR");
    if (text === "") return [];
    const cidrs = text.split(",").map((part) => parseCidr(part.trim()));
    const known = cidrs.filter((cidr) => cidr !== undefined);
    if (known.length < cidrs.length) this.fault("clusterCIDR", "must be CIDRs such as 10.0.0.0/8");
    else if (new Set(known.map(({ family }) => family)).size < known.length) {
      this.fault("clusterCIDR", "must be one CIDR, or one for each family");
    }
    return known;
  }

  nodePortAddresses(mode: string): Config["nodePortAddresses"] {
    const list = (this.get("nodePortAddresses") ?? []) as readonly string[];
    // Upstream's defaults: the primary addresses with nftables, all addresses with iptables and ipvs. Whoever
    // asks for one of those by name relies on it.
    if (list.length === 0) return { primary: mode !== "iptables" && mode !== "ipvs", cidrs: [] };
    if (list.includes("primary")) {
      if (list.length > 1) this.fault("nodePortAddresses", "must not have anything beside primary");
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
    const format = this.text("logging.format");
    if (format !== "text" && format !== "json")
      this.fault("logging.format", "must be text or json");
    return format === "json" ? "json" : "text";
  }

  /** Rules of fields that have no effect yet: a file that kube-proxy refuses is refused here too. */
  checkTheRest(mode: string): void {
    this.integer("oomScoreAdj", -1000, 1000);
    for (const path of [
      "clientConnection.burst",
      "conntrack.maxPerCore",
      "conntrack.min",
    ] as const) {
      if ((this.get(path) as number) < 0) this.fault(path, "must not be negative");
    }
    const timeouts: readonly FieldPath[] = [
      "conntrack.tcpEstablishedTimeout",
      "conntrack.tcpCloseWaitTimeout",
      "conntrack.udpTimeout",
      "conntrack.udpStreamTimeout",
      ...(mode === "ipvs"
        ? (["ipvs.tcpTimeout", "ipvs.tcpFinTimeout", "ipvs.udpTimeout"] as const)
        : []),
    ];
    for (const path of timeouts) {
      const ms = this.get(path) as number;
      if (ms < 0) this.fault(path, "must not be negative", printDuration(ms));
    }
    const resync = this.get("configSyncPeriod") as number;
    if (resync <= 0)
      this.fault("configSyncPeriod", "must be greater than 0", printDuration(resync));
  }

  #interfaceName(path: FieldPath, mode: string): void {
    const name = this.text(path);
    if (name === "") this.fault(path, `must be set in mode ${mode}`);
    // IFNAMSIZ is 16 with the closing zero byte.
    else if (name.length > 15)
      this.fault(path, "must be at most 15 characters, as interface names are");
  }
}
