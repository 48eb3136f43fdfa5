/**
 * Decides whether to drop packets that connection tracking considers invalid. They are not
 * translated back, so a client gets a segment from an unknown pod and resets the connection
 * (kubernetes/kubernetes#74839).
 */
import { KernelFiles, NETFILTER_SYSCTLS } from "./kernel-files.ts";

/**
 * From this kernel version on, a segment below the window (a late copy) is translated instead of
 * invalid. Commit 6e250dcbff1d, "netfilter: conntrack: ignore overly delayed tcp packets".
 */
const TOLERANT_SINCE = [6, 1] as const;

/**
 * `auto` drops if late copies would be invalid. Dropping has a cost: it breaks connections with
 * asymmetric routing, because conntrack sees only one half of them (kubernetes/kubernetes#94861).
 * `beLiberal`: nf_conntrack_tcp_be_liberal is set, so that almost nothing is invalid.
 */
export function resolveDropInvalid(
  setting: "auto" | "always" | "never",
  kernelRelease: string,
  beLiberal: boolean,
): boolean {
  if (setting !== "auto") return setting === "always";
  return !beLiberal && !isTolerant(kernelRelease);
}

/**
 * Reports whether nf_conntrack_tcp_be_liberal is set. If the module is not loaded yet, it will be
 * 0.
 */
export function isLiberal(files = new KernelFiles()): boolean {
  return (files.number(`${NETFILTER_SYSCTLS}/nf_conntrack_tcp_be_liberal`) ?? 0) !== 0;
}

/** A string that is not a version counts as a new kernel. */
function isTolerant(kernelRelease: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(kernelRelease) ?? [];
  if (major === undefined) return true;
  const [wantedMajor, wantedMinor] = TOLERANT_SINCE;
  return Number(major) === wantedMajor ? Number(minor) >= wantedMinor : Number(major) > wantedMajor;
}
