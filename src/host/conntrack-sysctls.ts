/** What the node's connection tracking is to be set to: from the configuration and what is there, to writes. */
import type { ConntrackSettings } from "../config/config.ts";

/** More is not asked for by a number of processors alone: upstream's cmd/kube-proxy/app/conntrack.go. */
const MAX_BY_CORES = 1_048_576;
/** Entries for each bucket of the hash table, as upstream has it. */
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

/** What the kernel says now; undefined where it says nothing. */
export type ConntrackValues = { readonly [name in ConntrackSysctl]: number | undefined };

/** A setting that is wanted. */
export interface Wanted {
  readonly name: ConntrackSysctl;
  readonly value: number;
  /** Field of the configuration that it comes from. */
  readonly field: string;
  /** Enough is as good: what is above `value` already stays. */
  readonly atLeast: boolean;
}

/**
 * Entries that connection tracking has to have room for; 0: whatever it has. The bound on what processors
 * ask for also holds against a larger minimum, which alone may exceed it, as upstream.
 */
export function wantedEntries(settings: ConntrackSettings, cpus: number): number {
  const { maxPerCore, min } = settings;
  const scaled = maxPerCore * cpus;
  return scaled > MAX_BY_CORES ? MAX_BY_CORES : scaled > 0 ? Math.max(scaled, min) : 0;
}

/** All that the configuration asks for, in the order in which it is to be written. */
export function wantedOf(settings: ConntrackSettings, cpus: number): readonly Wanted[] {
  const entries = wantedEntries(settings, cpus);
  const buckets = Math.floor(entries / ENTRIES_PER_BUCKET);
  const timeout = (name: ConntrackSysctl, ms: number, field: string): Wanted => {
    const value = ms > 0 ? Math.max(1, Math.floor(ms / 1000)) : 0;
    return { name, value, field: `conntrack.${field}`, atLeast: false };
  };
  const room = (name: ConntrackSysctl, value: number): Wanted => ({
    name,
    value,
    field: "conntrack.maxPerCore",
    atLeast: true,
  });
  const { tcpEstablishedMs, tcpCloseWaitMs, udpMs, udpStreamMs, tcpBeLiberal } = settings;
  const all: readonly Wanted[] = [
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

/** Must it be written? What is unknown must, so that it is said where that fails. */
export function differs({ name, value, atLeast }: Wanted, now: ConntrackValues): boolean {
  const current = now[name];
  if (current === undefined) return true;
  // linux/net/netfilter/nf_conntrack_core.c: without a maximum there is none.
  if (name === "nf_conntrack_max" && current === 0) return false;
  return atLeast ? current < value : current !== value;
}
