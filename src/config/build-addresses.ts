/** Addresses of this node: what we listen on, and what serves node ports. */

import {
  type Address,
  type Cidr,
  isLoopback,
  parseAddress,
  parseCidr,
  parseListenAddress,
  printAddressPort,
} from "../net/address.ts";
import { contains } from "../net/cidr.ts";
import type { Config } from "./config.ts";
import type { Settings } from "./settings.ts";

const HEALTHZ_PORT = 10256;
const METRICS_PORT = 10249;
/** With it a range serves loopback, as upstream sees it (nodeport_addresses.go). */
const LOOPBACK: Address = { family: 4, bytes: Uint8Array.of(127, 0, 0, 0) };
/** What node ports are served on where the default is not the primary addresses. */
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

/** `healthzOff`: --healthz-port=0, the only way to turn the health server off. */
export function addressesOf(
  settings: Settings,
  mode: Config["mode"],
  healthzOff: boolean,
): Addresses {
  const bindAddress = settings.get("bindAddress");
  const bound = parseAddress(bindAddress);
  if (!bound) settings.fault("bindAddress", "must be an IP address", bindAddress);
  const six = bound?.family === 6;
  const metricsBindAddress = listenAddress(settings, "metricsBindAddress", METRICS_PORT, six);
  const admin = adminAddress(settings);
  const served = nodePortAddresses(settings, mode);
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

/** A bare IP gets upstream's port; nothing gets upstream's address, of bindAddress's family. */
function listenAddress(
  settings: Settings,
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

function adminAddress(settings: Settings): string {
  const value = settings.get("sluice.adminBindAddress");
  return value === "" ? "" : checked(settings, "sluice.adminBindAddress", value);
}

function checked(settings: Settings, path: string, value: string): string {
  if (!parseListenAddress(value)) {
    settings.fault(path, "must be IP:port, with a port from 1 to 65535", value);
  }
  return value;
}

function nodePortAddresses(settings: Settings, mode: Config["mode"]): Config["nodePortAddresses"] {
  const list = settings.get("nodePortAddresses") ?? [];
  // Upstream's defaults: the primary addresses with nftables, all addresses in every other mode, and in that of a
  // file which names none. Whoever brings such a file relies on it.
  const everywhere = mode !== "nftables";
  if (list.length === 0) {
    return { primary: !everywhere, cidrs: everywhere ? EVERY_ADDRESS.flatMap(cidrsOf) : [] };
  }
  if (list.includes("primary")) {
    if (list.length > 1) {
      settings.fault("nodePortAddresses", "must not have anything beside primary", list);
    }
    return { primary: true, cidrs: [] };
  }
  for (const [index, text] of list.entries()) {
    if (parseCidr(text)) continue;
    settings.fault(`nodePortAddresses[${index}]`, "must be a CIDR or primary", text);
  }
  return { primary: false, cidrs: list.flatMap(cidrsOf) };
}

/**
 * Upstream's default is true. A node that lets 127.0.0.0/8 be routed is one rule away from serving its loopback to
 * neighbours (CVE-2020-8558), so it has to be asked for here. As upstream, it does not count where nodePortAddresses
 * leave loopback out.
 */
function localhostNodePorts(
  settings: Settings,
  mode: Config["mode"],
  { primary, cidrs }: Config["nodePortAddresses"],
): boolean {
  if (mode === "nftables" || primary) return false;
  const four = cidrs.filter(({ family }) => family === 4);
  const loopback = four.some((cidr) => isLoopback(cidr) || contains(cidr, LOOPBACK));
  return (loopback || four.length === 0) && settings.get("iptables.localhostNodePorts");
}

function cidrsOf(text: string): Cidr[] {
  const cidr = parseCidr(text);
  return cidr ? [cidr] : [];
}
