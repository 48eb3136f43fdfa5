/** Computes the listen addresses of this node and the addresses that serve node ports. */

import {
  type Address,
  type Cidr,
  isLoopback,
  parseAddress,
  parseCidr,
  parseListenAddress,
  printAddressPort,
} from "../net/address.ts";
import { cidrContains } from "../net/cidr.ts";
import type { Config } from "./config.ts";
import type { FieldReader } from "./settings.ts";

const HEALTHZ_PORT = 10256;
const METRICS_PORT = 10249;
/** As in kube-proxy (nodeport_addresses.go), a range that contains this address serves loopback. */
const LOOPBACK_RANGES: Address = { family: 4, bytes: Uint8Array.of(127, 0, 0, 0) };
/** The ranges that serve node ports if the default is not the primary addresses. */
const EVERY_ADDRESS = ["0.0.0.0/0", "::/0"];

type Addresses = Pick<
  Config,
  | "bindAddress"
  | "healthzBindAddress"
  | "metricsBindAddress"
  | "adminBindAddress"
  | "bindAddressHardFail"
  | "nodePortAddresses"
  | "localhostNodePorts"
>;

/**
 * Returns the addresses. `healthzOff` means --healthz-port=0, the only way to disable the health
 * server.
 */
export function resolveAddresses(
  settings: FieldReader,
  mode: Config["mode"],
  healthzOff: boolean,
): Addresses {
  const bindAddress = settings.get("bindAddress");
  const bound = parseAddress(bindAddress);
  if (!bound) settings.fault("bindAddress", "must be an IP address", bindAddress);
  const six = bound?.family === 6;
  const metricsBindAddress = listenAddress(settings, "metricsBindAddress", METRICS_PORT, six);
  const admin = adminAddress(settings);
  const served = readNodePortAddresses(settings, mode);
  return {
    bindAddress,
    healthzBindAddress: healthzOff
      ? ""
      : listenAddress(settings, "healthzBindAddress", HEALTHZ_PORT, six),
    metricsBindAddress,
    adminBindAddress: admin === metricsBindAddress ? "" : admin,
    bindAddressHardFail: settings.get("bindAddressHardFail"),
    nodePortAddresses: served,
    localhostNodePorts: localhostNodePorts(settings, mode, served),
  };
}

/**
 * Returns `ip:port` with kube-proxy's defaults: for a bare IP its port, and for "" its address in
 * the family of bindAddress.
 */
function listenAddress(
  settings: FieldReader,
  path: "healthzBindAddress" | "metricsBindAddress",
  port: number,
  six: boolean,
): string {
  const value = settings.get(path);
  if (value === "") {
    if (path === "healthzBindAddress") return `${six ? "[::]" : "0.0.0.0"}:${port}`;
    return `${six ? "[::1]" : "127.0.0.1"}:${port}`;
  }
  const bare = parseAddress(value);
  if (bare) return printAddressPort(bare.bytes, port);
  return checked(settings, path, value);
}

function adminAddress(settings: FieldReader): string {
  const value = settings.get("sluice.adminBindAddress");
  return value === "" ? "" : checked(settings, "sluice.adminBindAddress", value);
}

function checked(settings: FieldReader, path: string, value: string): string {
  if (!parseListenAddress(value)) {
    settings.fault(path, "must be IP:port, with a port between 1 and 65535", value);
  }
  return value;
}

function readNodePortAddresses(
  settings: FieldReader,
  mode: Config["mode"],
): Config["nodePortAddresses"] {
  const list = settings.get("nodePortAddresses") ?? [];
  // kube-proxy's defaults: the primary addresses with nftables; all addresses in other modes and
  // for a file without a mode. Users of such a file rely on that.
  const everywhere = mode !== "nftables";
  if (list.length === 0) {
    return { primary: !everywhere, cidrs: everywhere ? EVERY_ADDRESS.flatMap(cidrsOf) : [] };
  }
  if (list.includes("primary")) {
    if (list.length > 1) {
      settings.fault(
        "nodePortAddresses",
        'must contain nothing else if it contains "primary"',
        list,
      );
    }
    return { primary: true, cidrs: [] };
  }
  for (const [index, text] of list.entries()) {
    if (parseCidr(text)) continue;
    settings.fault(`nodePortAddresses[${index}]`, 'must be a CIDR or "primary"', text);
  }
  return { primary: false, cidrs: list.flatMap(cidrsOf) };
}

/**
 * Reports whether node ports answer on loopback. kube-proxy's default is true. Routing 127.0.0.0/8
 * leaves the node one rule away from exposing its loopback to neighbors (CVE-2020-8558), so Sluice
 * requires an explicit setting. As in kube-proxy, it has no effect if nodePortAddresses exclude
 * loopback.
 */
function localhostNodePorts(
  settings: FieldReader,
  mode: Config["mode"],
  { primary, cidrs }: Config["nodePortAddresses"],
): boolean {
  if (mode === "nftables" || primary) return false;
  const four = cidrs.filter(({ family }) => family === 4);
  const loopback = four.some((cidr) => isLoopback(cidr) || cidrContains(cidr, LOOPBACK_RANGES));
  return (loopback || four.length === 0) && settings.get("iptables.localhostNodePorts");
}

function cidrsOf(text: string): Cidr[] {
  const cidr = parseCidr(text);
  return cidr ? [cidr] : [];
}
