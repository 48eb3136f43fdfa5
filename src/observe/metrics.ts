/**
 * What is measured. Upstream's names where upstream measures the same, so that its dashboards and alerts keep
 * working; `sluice_` for the rest. Recording costs a few additions; printing happens at a scrape.
 */
import type { FlowsReport } from "../apply/conntrack/flows.ts";
import type { SyncReport } from "../sync/loop.ts";
import { Counter, exponentialBuckets, Gauge, Histogram, type Instrument } from "./instruments.ts";
import type { Counts } from "./view.ts";

/** One sync serves both families at once, so each gets the same value; as upstream does in effect. */
const FAMILIES = ["IPv4", "IPv6"] as const;

/** Upstream's buckets for durations of syncs, in seconds: 1 ms to 16 s. */
const SYNC_BUCKETS = exponentialBuckets(0.001, 2, 15);
/** Upstream's for network_programming_duration_seconds (pkg/proxy/metrics). */
const PROGRAMMING_BUCKETS = [
  0.25,
  0.5,
  ...range(1, 59, 1),
  ...range(60, 115, 5),
  ...range(120, 300, 30),
];
/** From 50 us, where a sync of one change lies, to 6.5 s. */
const FINE_SYNC_BUCKETS = exponentialBuckets(0.00005, 2, 18);
/** From 1 ms to 65 s. */
const LATENCY_BUCKETS = exponentialBuckets(0.001, 2, 17);

/** Kinds of objects whose changes upstream counts; an EndpointSlice is `endpoint`. */
export type ObjectChange = "endpoint" | "service";

/** What the operating system says of this process. */
export interface ProcessFacts {
  readonly rssBytes: number;
  /** User and system time used, in seconds. */
  readonly cpuSeconds: number;
}

/** Every instrument of its own; those of connections.ts are printed beside them. */
export class Metrics {
  readonly #syncDuration = new Histogram(
    kubeproxy("sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds", [
      "ip_family",
    ]),
    SYNC_BUCKETS,
  );
  readonly #programmingDuration = new Histogram(
    kubeproxy(
      "network_programming_duration_seconds",
      "Time from the trigger annotation of an EndpointSlice to its rules being in the kernel, in seconds",
      ["ip_family"],
    ),
    PROGRAMMING_BUCKETS,
  );
  readonly #lastSync = new Gauge(
    kubeproxy(
      "sync_proxy_rules_last_timestamp_seconds",
      "The last time proxy rules were successfully synced",
      ["ip_family"],
    ),
  );
  readonly #lastQueued = new Gauge(
    kubeproxy(
      "sync_proxy_rules_last_queued_timestamp_seconds",
      "The last time a sync of proxy rules was queued",
      ["ip_family"],
    ),
  );
  readonly #pending = {
    endpoint: new Gauge(
      kubeproxy("sync_proxy_rules_endpoint_changes_pending", "Pending endpoint changes"),
    ),
    service: new Gauge(
      kubeproxy("sync_proxy_rules_service_changes_pending", "Pending service changes"),
    ),
  };
  readonly #changes = {
    endpoint: new Counter(
      kubeproxy("sync_proxy_rules_endpoint_changes_total", "Cumulative endpoint changes"),
    ),
    service: new Counter(
      kubeproxy("sync_proxy_rules_service_changes_total", "Cumulative service changes"),
    ),
  };
  readonly #noLocalEndpoints = new Gauge(
    kubeproxy(
      "sync_proxy_rules_no_local_endpoints_total",
      "Service ports with a Local traffic policy and no endpoint on this node",
      ["traffic_policy", "ip_family"],
    ),
  );
  readonly #syncFailures = new Counter(
    kubeproxy("sync_proxy_rules_nftables_sync_failures_total", "Failed nftables syncs", [
      "ip_family",
    ]),
  );
  readonly #answers = {
    healthz: new Counter(
      kubeproxy("proxy_healthz_total", "Answers of /healthz by status", ["code"]),
    ),
    livez: new Counter(kubeproxy("proxy_livez_total", "Answers of /livez by status", ["code"])),
  };
  readonly #syncs = new Counter({
    name: "sluice_syncs_total",
    help: "Syncs by outcome: done, refused (the kernel refused some Service), failed",
    labels: ["outcome"],
  });
  readonly #fineSyncDuration = new Histogram(
    { name: "sluice_sync_duration_seconds", help: "Time of a sync, from dirty to committed" },
    FINE_SYNC_BUCKETS,
  );
  readonly #kernelDuration = new Histogram(
    {
      name: "sluice_kernel_duration_seconds",
      help: "Time the kernel took for the transactions of a sync",
    },
    FINE_SYNC_BUCKETS,
  );
  readonly #latency = new Histogram(
    {
      name: "sluice_programming_latency_seconds",
      help: "Time from the trigger annotation of an EndpointSlice to the commit",
    },
    LATENCY_BUCKETS,
  );
  readonly #operations = new Counter({
    name: "sluice_operations_total",
    help: "Elements added to and deleted from the kernel's tables",
  });
  readonly #transactions = new Counter({
    name: "sluice_transactions_total",
    help: "Netlink transactions committed to the kernel",
  });
  readonly #repairs = new Counter({
    name: "sluice_repairs_total",
    help: "Syncs that read the kernel again because somebody else had changed its tables",
  });
  readonly #flowsDeleted = new Counter(
    kubeproxy(
      "conntrack_reconciler_deleted_entries_total",
      "Cumulative conntrack flows deleted by the conntrack reconciler",
      ["ip_family"],
    ),
  );
  readonly #flowsDuration = new Histogram(
    kubeproxy(
      "conntrack_reconciler_sync_duration_seconds",
      "ReconcileConntrackFlowsLatency in seconds",
      ["ip_family"],
    ),
    SYNC_BUCKETS,
  );
  readonly #elements = new Gauge({
    name: "sluice_elements",
    help: "Elements in the kernel by table",
    labels: ["table"],
  });
  readonly #services = gauge("sluice_services", "Services served");
  readonly #slices = gauge("sluice_endpoint_slices", "EndpointSlices known");
  readonly #endpoints = gauge("sluice_endpoints", "Endpoints known");
  readonly #problems = gauge("sluice_problems", "Objects or fields that cannot be served");
  readonly #coreBytes = gauge("sluice_core_memory_bytes", "Linear memory of the core");
  readonly #rss = gauge("process_resident_memory_bytes", "Resident memory size in bytes");
  readonly #cpu = new Counter({
    name: "process_cpu_seconds_total",
    help: "Total user and system CPU time spent in seconds",
  });
  readonly #started = gauge("process_start_time_seconds", "Start time since the Unix epoch");
  readonly #startedAt: number;
  readonly #seen = { endpoint: 0, service: 0 };
  #cpuSeconds = 0;

  /** `startedAt`: ms since the epoch; trigger annotations from before it are not ours to measure. */
  constructor(startedAt: number) {
    this.#startedAt = startedAt;
    this.#started.set(startedAt / 1000);
    for (const family of FAMILIES) this.#syncFailures.add(0, family);
    for (const outcome of ["done", "refused", "failed"]) this.#syncs.add(0, outcome);
  }

  /** How many objects of each kind have changed since the start; those since the last call wait for a sync. */
  changedTo(counts: { readonly [kind in ObjectChange]: number }): void {
    for (const kind of ["endpoint", "service"] as const) {
      const changes = counts[kind] - this.#seen[kind];
      if (changes === 0) continue;
      this.#seen[kind] = counts[kind];
      this.#pending[kind].add(changes);
      this.#changes[kind].add(changes);
    }
  }

  /** A sync was asked for. `now`: ms since the epoch. */
  queued(now: number): void {
    for (const family of FAMILIES) this.#lastQueued.set(now / 1000, family);
  }

  /** A sync ended. `now`: ms since the epoch. One that found nothing to do is not recorded. */
  synced(report: SyncReport, now: number): void {
    if (report.outcome === "nothing") return;
    const seconds = report.durationMs / 1000;
    this.#syncs.add(1, report.outcome);
    if (report.repaired) this.#repairs.add(1);
    this.#fineSyncDuration.observe(seconds);
    if (report.transactions > 0) this.#kernelDuration.observe(report.kernelMs / 1000);
    this.#transactions.add(report.transactions);
    this.#operations.add(report.operations);
    for (const family of FAMILIES) {
      this.#syncDuration.observe(seconds, family);
      if (report.outcome !== "done") this.#syncFailures.add(1, family);
      if (report.outcome !== "failed") this.#lastSync.set(now / 1000, family);
    }
    if (report.outcome === "failed") return;
    this.#pending.endpoint.set(0);
    this.#pending.service.set(0);
    for (const trigger of report.triggerTimes) this.#programmed(trigger, now);
  }

  /** The flows of UDP of a family were looked through. */
  flowsChecked({ family, deleted, durationMs }: FlowsReport): void {
    this.#flowsDeleted.add(deleted, `IPv${family}`);
    this.#flowsDuration.observe(durationMs / 1000, `IPv${family}`);
  }

  /** A health probe was answered. */
  answered(probe: "healthz" | "livez", code: number): void {
    this.#answers[probe].add(1, String(code));
  }

  /**
   * Everything to print, with the gauges brought up to date. `connections`: the instruments of
   * connections.ts.
   */
  instruments(
    counts: Counts,
    problems: number,
    process: ProcessFacts,
    connections: readonly Instrument[],
  ): Instrument[] {
    this.#services.set(counts.services);
    this.#slices.set(counts.slices);
    this.#endpoints.set(counts.endpoints);
    this.#coreBytes.set(counts.coreBytes);
    this.#problems.set(problems);
    this.#rss.set(process.rssBytes);
    this.#cpu.add(process.cpuSeconds - this.#cpuSeconds);
    this.#cpuSeconds = process.cpuSeconds;
    for (const [table, count] of Object.entries(counts.elements)) this.#elements.set(count, table);
    for (const { policy, family, count } of counts.noLocalEndpoints) {
      this.#noLocalEndpoints.set(count, policy, `IPv${family}`);
    }
    return [
      this.#syncDuration,
      this.#programmingDuration,
      this.#lastSync,
      this.#lastQueued,
      this.#pending.endpoint,
      this.#changes.endpoint,
      this.#pending.service,
      this.#changes.service,
      this.#noLocalEndpoints,
      this.#syncFailures,
      this.#answers.healthz,
      this.#answers.livez,
      this.#syncs,
      this.#fineSyncDuration,
      this.#kernelDuration,
      this.#latency,
      this.#operations,
      this.#transactions,
      this.#repairs,
      this.#flowsDeleted,
      this.#flowsDuration,
      this.#elements,
      this.#services,
      this.#slices,
      this.#endpoints,
      this.#problems,
      ...connections,
      this.#coreBytes,
      this.#rss,
      this.#cpu,
      this.#started,
    ];
  }

  #programmed(trigger: number, now: number): void {
    if (trigger < this.#startedAt) return;
    // The annotation is another machine's clock, in whole seconds: it may lie ahead of ours.
    const seconds = Math.max(0, now - trigger) / 1000;
    this.#latency.observe(seconds);
    for (const family of FAMILIES) this.#programmingDuration.observe(seconds, family);
  }
}

function kubeproxy(name: string, help: string, labels?: readonly string[]) {
  const definition = { name: `kubeproxy_${name}`, help: `[ALPHA] ${help}` };
  return labels ? { ...definition, labels } : definition;
}

function gauge(name: string, help: string): Gauge {
  return new Gauge({ name, help });
}

function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: (to - from) / step + 1 }, (_, index) => from + index * step);
}
