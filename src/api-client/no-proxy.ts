/**
 * Decides by NO_PROXY which servers need no proxy, with the rules of
 * golang.org/x/net/http/httpproxy.
 */
import { domainToASCII } from "node:url";
import { isLoopback, parseAddress, parseCidr } from "../net/address.ts";
import { cidrContains, cidrOf } from "../net/cidr.ts";

/**
 * Reports whether `host:port` is reached without a proxy: localhost, loopback addresses, and what
 * the comma-separated list `noProxy` names. Its entries are
 * - `*`: everything;
 * - an address range: the addresses in it;
 * - an address or a name, with or without a port. A name includes its subdomains, and with a
 *   leading `.` or `*.` only these.
 *
 * Names are not looked up.
 */
export function bypassesProxy(host: string, port: string, noProxy: string): boolean {
  const address = parseAddress(host);
  if (host === "localhost" || (address !== undefined && isLoopback(address))) return true;
  const name = host.toLowerCase().trim();
  const entries = noProxy
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .filter((entry) => entry !== "");
  return entries.some((entry) => {
    if (entry === "*") return true;
    const range = parseCidr(entry);
    if (range !== undefined) return address !== undefined && cidrContains(range, address);
    const target = splitPort(entry);
    if (target.host === "" || (target.port !== "" && target.port !== port)) return false;
    const same = parseAddress(target.host);
    if (same !== undefined) return address !== undefined && cidrContains(cidrOf(same), address);
    return address === undefined && matchesDomain(name, target.host);
  });
}

function matchesDomain(name: string, entry: string): boolean {
  const pattern = toAscii(entry.replace(/^\*(?=\.)/, ""));
  if (pattern.startsWith(".")) return name.endsWith(pattern);
  return name === pattern || name.endsWith(`.${pattern}`);
}

function toAscii(name: string): string {
  const [, dot = "", rest = ""] = /^(\.?)(.*)$/s.exec(name) ?? [];
  // The conversion of a text that is ASCII already could only reject it.
  const isAscii = [...rest].every((character) => character < "\x80");
  return isAscii ? name : dot + (domainToASCII(rest) || rest);
}

/** Splits like Go's net.SplitHostPort; a text without a port is a host. */
function splitPort(text: string): { readonly host: string; readonly port: string } {
  const [, bracketed, plain, port = ""] =
    /^(?:\[([^[\]]*)\]|([^[\]:]*)):([^[\]:]*)$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  return host === undefined ? { host: text, port: "" } : { host, port };
}
