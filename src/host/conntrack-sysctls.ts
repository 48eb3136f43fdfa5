/**
 * Computes which sysctls of connection tracking to write, from the configuration and current
 * values.
 */
import type { ConntrackSettings } from "../config/config.ts";

/**
 * Limit of the entries computed from the number of CPUs (kube-proxy:
 * cmd/kube-proxy/app/conntrack.go).
 */
const MAX_BY_CORES = 1_048_576;
/** Entries per bucket of the hash table, as in kube-proxy. */
const ENTRIES_PER_BUCKET = 4;

/** Files of /proc/sys/net/netfilter. */
export const CONNTRACK_SYSCTLS = [
  "nf_conntrack_max",
  "nf_conntrack_buckets",
  "nf_conntrack_tcp_timeout_established",
  "nf_conntrack_tcp_timeout_close_wait",
  "nf_conntrack_tcp_be_liberal",
  "nf_conntrack_udp_timeout",
  "nf_conntrack_udp_timeout_stream",
] as const;
export type ConntrackSysctl = (typeof CONNTRACK_SYSCTLS)[number];

/** The current values in the kernel; undefined if one cannot be read. */
export type ConntrackValues = { readonly [name in ConntrackSysctl]: number | undefined };

/** A setting to apply. */
export interface WantedSysctl {
  readonly name: ConntrackSysctl;
  readonly value: number;
  /** The configuration field that it comes from. */
  readonly field: string;
  /** True if a current value above `value` may stay. */
  readonly atLeast: boolean;
}

/**
 * Returns the required number of conntrack entries, or 0 to leave it. As in kube-proxy, the limit
 * for a value computed from the CPUs also overrides a larger minimum; the minimum alone may exceed
 * it.
 */
export function requiredConntrackMax(settings: ConntrackSettings, cpus: number): number {
  const { maxPerCore, min } = settings;
  const scaled = maxPerCore * cpus;
  return scaled > MAX_BY_CORES ? MAX_BY_CORES : scaled > 0 ? Math.max(scaled, min) : 0;
}

/** Returns all settings that the configuration requires, in the order to write them. */
export function wantedSysctls(settings: ConntrackSettings, cpus: number): readonly WantedSysctl[] {
  const entries = requiredConntrackMax(settings, cpus);
  const buckets = Math.floor(entries / ENTRIES_PER_BUCKET);
  const timeout = (name: ConntrackSysctl, ms: number, field: string): WantedSysctl => {
    const value = ms > 0 ? Math.max(1, Math.floor(ms / 1000)) : 0;
    return { name, value, field: `conntrack.${field}`, atLeast: false };
  };
  const room = (name: ConntrackSysctl, value: number): WantedSysctl => ({
    name,
    value,
    field: "conntrack.maxPerCore",
    atLeast: true,
  });
  const { tcpEstablishedMs, tcpCloseWaitMs, udpMs, udpStreamMs, tcpBeLiberal } = settings;
  const all: readonly WantedSysctl[] = [
    room("nf_conntrack_max", entries),
    room("nf_conntrack_buckets", buckets),
    timeout("nf_conntrack_tcp_timeout_established", tcpEstablishedMs, "tcpEstablishedTimeout"),
    timeout("nf_conntrack_tcp_timeout_close_wait", tcpCloseWaitMs, "tcpCloseWaitTimeout"),
    {
      name: "nf_conntrack_tcp_be_liberal",
      value: tcpBeLiberal ? 1 : 0,
      field: "conntrack.tcpBeLiberal",
      atLeast: true,
    },
    timeout("nf_conntrack_udp_timeout", udpMs, "udpTimeout"),
    timeout("nf_conntrack_udp_timeout_stream", udpStreamMs, "udpStreamTimeout"),
  ];
  return all.filter(({ value }) => value > 0);
}

/**
 * Reports whether to write the setting. An unknown value is written, so that a failure is reported.
 */
export function needsChange({ name, value, atLeast }: WantedSysctl, now: ConntrackValues): boolean {
  const current = now[name];
  if (current === undefined) return true;
  // A maximum of 0 means no limit (linux/net/netfilter/nf_conntrack_core.c).
  if (name === "nf_conntrack_max" && current === 0) return false;
  return atLeast ? current < value : current !== value;
}
