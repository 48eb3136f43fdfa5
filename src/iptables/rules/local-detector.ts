/** The local detector in iptables' words (upstream: pkg/proxy/util/localdetector.go). Pure. */

import type { LocalDetector } from "../../backend/skeleton-options.ts";
import { type Family, printCidr } from "../../net/address.ts";
import { quote } from "./rule-text.ts";

/** How a packet from a pod of this node is told. "": every packet is one. */
export interface PodWords {
  readonly pods: string;
  /** The opposite; undefined: no packet is. */
  readonly others: string | undefined;
}

/** IFNAMSIZ less its NUL (linux/if.h). */
const INTERFACE_BYTES = 15;

/** Undefined where the detector cannot tell. */
export function podWords(detector: LocalDetector, family: Family): PodWords | undefined {
  if (detector.kind === "interface") {
    const name = Buffer.from(detector.name).subarray(0, INTERFACE_BYTES).toString();
    if (name === "" && detector.prefix) return EVERYBODY;
    // A prefix as long as a name can be is a name.
    const pattern = detector.prefix && name.length < INTERFACE_BYTES ? `${name}+` : name;
    const words = `-i ${/[\s"'\\]/.test(pattern) ? quote(pattern) : pattern}`;
    return { pods: words, others: `! ${words}` };
  }
  const cidr = family === 4 ? detector.ipv4 : detector.ipv6;
  if (cidr === undefined) return undefined;
  // The tools leave out a range of everything, and the nft variant does not take the opposite of
  // it.
  if (cidr.prefix === 0) return EVERYBODY;
  return { pods: `-s ${printCidr(cidr)}`, others: `! -s ${printCidr(cidr)}` };
}

const EVERYBODY: PodWords = { pods: "", others: undefined };
