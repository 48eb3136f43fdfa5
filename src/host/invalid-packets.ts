/**
 * Must packets be dropped that connection tracking takes for invalid? They are not translated back, so a client
 * gets a segment from a pod it knows nothing of, and resets the connection (kubernetes/kubernetes#74839).
 */
import { KernelFiles, NETFILTER } from "./kernel-files.ts";

/**
 * From here on a segment below the window, a late copy, is translated and not invalid: commit 6e250dcbff1d,
 * "netfilter: conntrack: ignore overly delayed tcp packets".
 */
const TOLERANT_SINCE = [6, 1] as const;

/**
 * `auto`: where late copies would be invalid. Dropping has its price: it breaks connections whose other
 * direction takes another way, of which connection tracking sees one half (kubernetes/kubernetes#94861).
 * `beLiberal`: nf_conntrack_tcp_be_liberal is set, with which next to nothing is invalid.
 */
export function resolveDropInvalid(
  setting: "auto" | "always" | "never",
  kernelRelease: string,
  beLiberal: boolean,
): boolean {
  if (setting !== "auto") return setting === "always";
  return !beLiberal && !isTolerant(kernelRelease);
}

/** The value of nf_conntrack_tcp_be_liberal. Where the module is not loaded yet, it will be 0. */
export function isLiberal(files = new KernelFiles()): boolean {
  return (files.number(`${NETFILTER}/nf_conntrack_tcp_be_liberal`) ?? 0) !== 0;
}

/** What is no version is taken for a new one. */
function isTolerant(kernelRelease: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(kernelRelease) ?? [];
  if (major === undefined) return true;
  const [wantedMajor, wantedMinor] = TOLERANT_SINCE;
  return Number(major) === wantedMajor ? Number(minor) >= wantedMinor : Number(major) > wantedMajor;
}
