/** The mode, and what its section of the file says. */
import type { Config } from "../config.ts";
import { printDuration } from "./duration.ts";
import type { Settings } from "./settings.ts";

/**
 * The modes of upstream. All of them are served by nftables here: what a mode means to a user is how Services
 * behave, and that is the same. A file that asks for iptables or ipvs keeps working when it is handed to
 * Sluice unchanged; the section it fills in (iptables.syncPeriod, ...) is the one that is read.
 */
const SECTIONS_OF_MODE = {
  nftables: { own: ["nftables"], periods: ["nftables"] },
  // Upstream's default is iptables, ours nftables: whichever section says something is meant.
  "": { own: ["nftables", "iptables"], periods: ["nftables", "iptables"] },
  iptables: { own: ["iptables"], periods: ["iptables"] },
  ipvs: { own: ["iptables"], periods: ["ipvs"] },
} as const;

export type Mode = keyof typeof SECTIONS_OF_MODE;

export function modeOf(settings: Settings): Mode {
  const mode = settings.get("mode");
  if (Object.hasOwn(SECTIONS_OF_MODE, mode)) return mode as Mode;
  settings.fault("mode", "must be nftables, iptables, ipvs or empty", mode);
  return "";
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
