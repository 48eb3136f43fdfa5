/** What the kernel has loaded for legacy tables, so that it need not be tried: every trial writes the whole tables. */
import { readFileSync } from "node:fs";
import type { Family } from "../../net/address.ts";

const PREFIXES = { 4: "/proc/net/ip", 6: "/proc/net/ip6" } as const;
/** What the rules are made of: what probe-trials.ts tries. */
const NEEDED = {
  names: ["nat", "filter"],
  matches: [
    ...["comment", "conntrack", "mark", "statistic", "addrtype", "recent"],
    ...["tcp", "udp", "sctp"],
  ],
  targets: ["MARK", "DNAT", "MASQUERADE", "REJECT"],
} as const;

/** False as well where it cannot be read. */
export function isAllLoaded(family: Family): boolean {
  try {
    return Object.entries(NEEDED).every(([list, needed]) => {
      const there = readFileSync(`${PREFIXES[family]}_tables_${list}`, "utf8").split("\n");
      return needed.every((name) => there.includes(name));
    });
  } catch {
    return false;
  }
}
