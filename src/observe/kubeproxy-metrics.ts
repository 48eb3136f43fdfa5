/**
 * Defines kube-proxy's own metrics (pkg/proxy/metrics/metrics.go) of the active mode. Names, types,
 * labels, buckets and help texts are identical, so dashboards and alerts keep working.
 */
import type { RestoreStatistics } from "../backend/parts.ts";
import type { FlowsReport } from "../conntrack/reconcile-flows.ts";
import type { Family } from "../net/address.ts";
import type { SyncReport } from "../sync/loop.ts";
import {
  Counter,
  type Definition,
  exponentialBuckets,
  Gauge,
  Histogram,
  type Instrument,
} from "./instruments.ts";
import type { Counts } from "./view.ts";

/** Seconds: 1 ms to 16 s. */
const SYNC_BUCKETS = exponentialBuckets(0.001, 2, 15);

/** Seconds. */
const PROGRAMMING_BUCKETS = [
  0.25,
  0.5,
  ...range(1, 59, 1),
  ...range(60, 115, 5),
  ...range(120, 300, 30),
];

/** One sync covers both families, so each gets the same value, as in effect in kube-proxy. */
const FAMILIES = ["IPv4", "IPv6"] as const;
const BY_FAMILY = ["ip_family"] as const;

/** The kinds of objects with counted changes. An EndpointSlice is an `endpoint`. */
export type ObjectChange = "endpoint" | "service";
type HealthPath = "healthz" | "livez";

export class KubeproxyMetrics {
  readonly #syncDuration = new Histogram(
    define("sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds", BY_FAMILY),
    SYNC_BUCKETS,
  );
  readonly #fullDuration = new Histogram(
    define(
      "sync_full_proxy_rules_duration_seconds",
      "SyncProxyRules latency in seconds for full resyncs",
      BY_FAMILY,
    ),
    SYNC_BUCKETS,
  );
  readonly #partialDuration = new Histogram(
    define(
      "sync_partial_proxy_rules_duration_seconds",
      "SyncProxyRules latency in seconds for partial resyncs",
      BY_FAMILY,
    ),
    SYNC_BUCKETS,
  );
  readonly #lastSync = new Gauge(
    define(
      "sync_proxy_rules_last_timestamp_seconds",
      "The last time proxy rules were successfully synced",
      BY_FAMILY,
    ),
  );
  readonly #lastQueued = new Gauge(
    define(
      "sync_proxy_rules_last_queued_timestamp_seconds",
      "The last time a sync of proxy rules was queued",
      BY_FAMILY,
    ),
  );
  readonly #programmingDuration = new Histogram(
    define(
      "network_programming_duration_seconds",
      "In Cluster Network Programming Latency in seconds",
      BY_FAMILY,
    ),
    PROGRAMMING_BUCKETS,
  );
  readonly #pending = {
    endpoint: new Gauge(
      define("sync_proxy_rules_endpoint_changes_pending", "Pending proxy rules Endpoint changes"),
    ),
    service: new Gauge(
      define("sync_proxy_rules_service_changes_pending", "Pending proxy rules Service changes"),
    ),
  };
  readonly #changes = {
    endpoint: new Counter(
      define("sync_proxy_rules_endpoint_changes_total", "Cumulative proxy rules Endpoint changes"),
    ),
    service: new Counter(
      define("sync_proxy_rules_service_changes_total", "Cumulative proxy rules Service changes"),
    ),
  };
  readonly #noLocalEndpoints = new Gauge(
    define(
      "sync_proxy_rules_no_local_endpoints_total",
      "Number of services with a Local traffic policy and no endpoints",
      ["traffic_policy", "ip_family"],
    ),
  );
  readonly #syncFailures = new Counter(
    define(
      "sync_proxy_rules_nftables_sync_failures_total",
      "Cumulative proxy nftables sync failures",
      BY_FAMILY,
    ),
  );
  /** Stays 0: what a change no longer needs is deleted in the transaction of the change. */
  readonly #cleanupFailures = new Counter(
    define(
      "sync_proxy_rules_nftables_cleanup_failures_total",
      "Cumulative proxy nftables cleanup failures",
      BY_FAMILY,
    ),
  );
  readonly #flowsDeleted = new Counter(
    define(
      "conntrack_reconciler_deleted_entries_total",
      "Cumulative conntrack flows deleted by conntrack reconciler",
      BY_FAMILY,
    ),
  );
  readonly #flowsDuration = new Histogram(
    define(
      "conntrack_reconciler_sync_duration_seconds",
      "ReconcileConntrackFlowsLatency latency in seconds",
      BY_FAMILY,
    ),
    SYNC_BUCKETS,
  );
  readonly #answers: { readonly [probe in HealthPath]: Counter } = {
    healthz: new Counter(
      define("proxy_healthz_total", "Cumulative proxy healthz HTTP status", ["code"]),
    ),
    livez: new Counter(define("proxy_livez_total", "Cumulative proxy livez HTTP status", ["code"])),
  };
  readonly #startedAt: number;
  #families: readonly (typeof FAMILIES)[number][] = FAMILIES;
  readonly #seen = { endpoint: 0, service: 0 };
  /** False until the first successful sync. Until then every sync counts as a full one. */
  #synced = false;

  constructor(startedAt: number) {
    this.#startedAt = startedAt;
  }

  /** Limits the metrics to these families, as in kube-proxy. */
  serves(families: readonly Family[]): void {
    this.#families = families.map((family) => `IPv${family}` as const);
  }

  changedTo(counts: { readonly [kind in ObjectChange]: number }): void {
    for (const kind of ["endpoint", "service"] as const) {
      const changes = counts[kind] - this.#seen[kind];
      if (changes === 0) continue;
      this.#seen[kind] = counts[kind];
      this.#pending[kind].add(changes);
      this.#changes[kind].add(changes);
    }
  }

  queued(now: number): void {
    for (const family of this.#families) this.#lastQueued.set(now / 1000, family);
  }

  /** Records a sync that had work to do. */
  synced(report: SyncReport, now: number): void {
    const seconds = report.durationMs / 1000;
    const whole = !this.#synced || report.repair?.driftedCounts.table !== undefined;
    const byExtent = whole ? this.#fullDuration : this.#partialDuration;
    for (const family of this.#families) {
      this.#syncDuration.observe(seconds, family);
      byExtent.observe(seconds, family);
      if (report.outcome !== "done") this.#syncFailures.add(1, family);
      if (report.outcome !== "failed") this.#lastSync.set(now / 1000, family);
    }
    if (report.outcome === "failed") return;
    this.#synced = true;
    this.#pending.endpoint.set(0);
    this.#pending.service.set(0);
    for (const trigger of report.triggerTimes) {
      if (trigger < this.#startedAt) continue;
      const latency = programmingSeconds(trigger, now);
      for (const family of this.#families) this.#programmingDuration.observe(latency, family);
    }
  }

  flowsChecked({ family, deleted, durationMs }: FlowsReport): void {
    if (!this.#families.includes(`IPv${family}`)) return;
    this.#flowsDeleted.add(deleted, `IPv${family}`);
    this.#flowsDuration.observe(durationMs / 1000, `IPv${family}`);
  }

  answered(probe: HealthPath, code: number): void {
    this.#answers[probe].add(1, String(code));
  }

  /** `restores` is undefined if the backend does not use iptables-restore. */
  instruments(counts: Counts, restores: readonly RestoreStatistics[] | undefined): Instrument[] {
    for (const family of this.#families) {
      this.#syncFailures.add(0, family);
      this.#cleanupFailures.add(0, family);
      this.#flowsDeleted.add(0, family);
    }
    for (const { policy, family, count } of counts.noLocalEndpoints) {
      if (!this.#families.includes(`IPv${family}`)) continue;
      this.#noLocalEndpoints.set(count, policy, `IPv${family}`);
    }
    return [
      this.#syncDuration,
      this.#fullDuration,
      this.#partialDuration,
      this.#lastSync,
      this.#lastQueued,
      this.#programmingDuration,
      this.#pending.endpoint,
      this.#changes.endpoint,
      this.#pending.service,
      this.#changes.service,
      this.#noLocalEndpoints,
      ...(restores === undefined
        ? [this.#syncFailures, this.#cleanupFailures]
        : restoreInstruments(restores)),
      this.#flowsDuration,
      this.#flowsDeleted,
      this.#answers.healthz,
      this.#answers.livez,
    ];
  }
}

/**
 * Returns the seconds from an EndpointSlice's trigger annotation to `now`, both in ms since the
 * epoch. The annotation has whole seconds of another machine's clock, which may be ahead of ours.
 */
export function programmingSeconds(trigger: number, now: number): number {
  return Math.max(0, now - trigger) / 1000;
}

/** Returns the metrics that kube-proxy has only in iptables mode. */
function restoreInstruments(families: readonly RestoreStatistics[]): Instrument[] {
  const byTable = ["table", "ip_family"] as const;
  const failures = new Counter(
    define(
      "sync_proxy_rules_iptables_restore_failures_total",
      "Cumulative proxy iptables restore failures",
      BY_FAMILY,
    ),
  );
  const partialFailures = new Counter(
    define(
      "sync_proxy_rules_iptables_partial_restore_failures_total",
      "Cumulative proxy iptables partial restore failures",
      BY_FAMILY,
    ),
  );
  const total = new Gauge(
    define(
      "sync_proxy_rules_iptables_total",
      "Total number of iptables rules owned by kube-proxy",
      byTable,
    ),
  );
  const last = new Gauge(
    define(
      "sync_proxy_rules_iptables_last",
      "Number of iptables rules written by kube-proxy in last sync",
      byTable,
    ),
  );
  for (const each of families) {
    const family = `IPv${each.family}`;
    failures.add(each.failures, family);
    partialFailures.add(each.partialFailures, family);
    for (const rules of each.rules) {
      total.set(rules.total, rules.table, family);
      last.set(rules.last, rules.table, family);
    }
  }
  return [failures, partialFailures, total, last];
}

function define(name: string, help: string, labels?: readonly string[]): Definition {
  return { name: `kubeproxy_${name}`, help: `[ALPHA] ${help}`, ...(labels && { labels }) };
}

function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: (to - from) / step + 1 }, (_, index) => from + index * step);
}
