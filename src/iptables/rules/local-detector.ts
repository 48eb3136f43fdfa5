/**
 * Prints the local detector (detectLocalMode) as matches of iptables. Upstream:
 * pkg/proxy/util/localdetector.go. Pure.
 */

import type { LocalDetector } from "../../backend/skeleton-options.ts";
import { type Family, printCidr } from "../../net/address.ts";
import { quoteText } from "./rule-text.ts";

export interface PodMatches {
  /** Matches packets from pods of this node; "" matches every packet. */
  readonly pods: string;
  /** Matches all other packets; undefined if there are none. */
  readonly others: string | undefined;
}

/** IFNAMSIZ without the NUL (linux/if.h). */
const INTERFACE_BYTES = 15;

/** Returns undefined if the detector cannot recognize local pods in this family. */
export function podMatches(detector: LocalDetector, family: Family): PodMatches | undefined {
  if (detector.kind === "interface") {
    const name = Buffer.from(detector.name).subarray(0, INTERFACE_BYTES).toString();
    if (name === "" && detector.prefix) return EVERYBODY;
    // A prefix of the maximum length can match only the name itself.
    const pattern = detector.prefix && name.length < INTERFACE_BYTES ? `${name}+` : name;
    const words = `-i ${/[\s"'\\]/.test(pattern) ? quoteText(pattern) : pattern}`;
    return { pods: words, others: `! ${words}` };
  }
  const cidr = family === 4 ? detector.ipv4 : detector.ipv6;
  if (cidr === undefined) return undefined;
  // The tools print no match for a range of all addresses, and the nft variant refuses its
  // negation.
  if (cidr.prefix === 0) return EVERYBODY;
  return { pods: `-s ${printCidr(cidr)}`, others: `! -s ${printCidr(cidr)}` };
}

const EVERYBODY: PodMatches = { pods: "", others: undefined };
