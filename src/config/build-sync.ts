/** The mode, and what its section of the file says. */
import type { Config } from "./config.ts";
import { printDuration } from "./duration.ts";
import type { Settings } from "./settings.ts";

/** Whichever section says something is meant: what serves is known when the kernel has been asked. */
const EITHER = { own: ["nftables", "iptables"], periods: ["nftables", "iptables"] } as const;

/**
 * What `mode` may say: upstream's modes, `auto`, which is ours, and nothing, which upstream's --proxy-mode describes
 * as "use the best-available proxy". The section that goes with it (iptables.syncPeriod, ...) is the one that is read.
 */
const SECTIONS_OF_MODE = {
  nftables: { own: ["nftables"], periods: ["nftables"] },
  iptables: { own: ["iptables"], periods: ["iptables"] },
  "": EITHER,
  auto: EITHER,
  // As upstream: ipvs has periods of its own, and the rest of iptables.
  ipvs: { own: ["iptables"], periods: ["ipvs"] },
} as const;

/** The mode as it was asked for. */
export type Mode = keyof typeof SECTIONS_OF_MODE;

export function modeOf(settings: Settings): Mode {
  const mode = settings.get("mode");
  if (Object.hasOwn(SECTIONS_OF_MODE, mode)) return mode as Mode;
  settings.fault("mode", "must be nftables, iptables, auto, ipvs or empty", mode);
  return "";
}

/** What serves in a mode. IPVS is not served: what is best is taken in its place. */
export function servedIn(mode: Mode): Config["mode"] {
  return mode === "nftables" || mode === "iptables" ? mode : "auto";
}

export function syncingOf(
  settings: Settings,
  mode: Mode,
): Pick<Config, "masqueradeBit" | "masqueradeAll" | "minSyncMs" | "syncPeriodMs"> {
  const { own, periods } = SECTIONS_OF_MODE[mode];
  const syncPath =
    settings.firstSet(periods.map((section) => `${section}.syncPeriod` as const)) ??
    (`${periods[0]}.syncPeriod` as const);
  const minPath = settings.firstSet(periods.map((section) => `${section}.minSyncPeriod` as const));
  const bitPath = settings.firstSet(own.map((section) => `${section}.masqueradeBit` as const));
  const allPath = settings.firstSet(own.map((section) => `${section}.masqueradeAll` as const));
  const syncPeriodMs = settings.get(syncPath);
  const minSyncMs = settings.getOrDefault(minPath, "nftables.minSyncPeriod");
  if (syncPeriodMs <= 0) {
    settings.fault(syncPath, "must be greater than 0", printDuration(syncPeriodMs));
  }
  // Without a path it is our default, 0.
  if (minPath !== undefined && minSyncMs < 0) {
    settings.fault(minPath, "must not be negative", printDuration(minSyncMs));
  } else if (minPath !== undefined && minSyncMs > syncPeriodMs && syncPeriodMs > 0) {
    const rule = `must be at most ${syncPath}, which is ${printDuration(syncPeriodMs)}`;
    settings.fault(minPath, rule, printDuration(minSyncMs));
  }
  // Upstream checks iptables.masqueradeBit in every mode.
  settings.checkRange("iptables.masqueradeBit", 0, 31);
  settings.checkRange("nftables.masqueradeBit", 0, 31);
  return {
    masqueradeBit: settings.getOrDefault(bitPath, "nftables.masqueradeBit"),
    masqueradeAll: settings.getOrDefault(allPath, "nftables.masqueradeAll"),
    minSyncMs,
    syncPeriodMs,
  };
}
