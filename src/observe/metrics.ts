/**
 * Collects all metrics. A metric that kube-proxy has keeps its name (kubeproxy-metrics.ts,
 * component-metrics.ts), so dashboards and alerts keep working. Our own have the prefix `sluice_`:
 * most are defined here, five in connections.ts, one each in full-frontends.ts and build-info.ts.
 * Recording costs a few additions; text is printed at a scrape. A test checks that docs/metrics.md
 * lists every metric.
 */
import type { Mode } from "../backend/capabilities.ts";
import type { RestoreStatistics } from "../backend/parts.ts";
import type { Config } from "../config/config.ts";
import type { FlowsReport } from "../conntrack/reconcile-flows.ts";
import type { Family } from "../net/address.ts";
import type { Problem } from "../problems/problem.ts";
import type { SourceStatus } from "../source/source.ts";
import type { SyncReport } from "../sync/loop.ts";
import type { RepairReport } from "../sync/repair-log.ts";
import { buildInfo } from "./build-info.ts";
import { RestClientMetrics, SliMetrics } from "./component-metrics.ts";
import type { ConnectionCounters } from "./connections.ts";
import type { FullFrontends } from "./full-frontends.ts";
import { Counter, exponentialBuckets, Gauge, Histogram, type Instrument } from "./instruments.ts";
import { KubeproxyMetrics, type ObjectChange, programmingSeconds } from "./kubeproxy-metrics.ts";
import { processInstruments } from "./process-metrics.ts";
import type { Counts } from "./view.ts";

/** Seconds: from 50 us, the duration of a sync of one change, to 6.5 s. */
const FINE_SYNC_BUCKETS = exponentialBuckets(0.00005, 2, 18);

/** Seconds: 1 ms to 65 s. */
const LATENCY_BUCKETS = exponentialBuckets(0.001, 2, 17);

/** State that is read at the time of a scrape. */
export interface ScrapeFacts {
  readonly counts: Counts;
  readonly problems: readonly Problem[];
  readonly sources: readonly SourceStatus[];
  /** The health that /livez reports. */
  readonly healthy: boolean;
  /** The active mode. */
  readonly mode: Mode;
  /** Undefined if the backend does not use iptables-restore. */
  readonly restores: readonly RestoreStatistics[] | undefined;
}

export interface ScrapeOptions extends ScrapeFacts {
  readonly metrics: Metrics;
  readonly connections: Pick<ConnectionCounters, "instruments">;
  readonly fullFrontends: Pick<FullFrontends, "instruments">;
  readonly config: Config;
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

export class Metrics {
  /** Measures requests to the API server; passed to the API client. */
  readonly restClient = new RestClientMetrics();
  /** The content of /metrics/slis. */
  readonly slis: SliMetrics;
  readonly #kubeproxy: KubeproxyMetrics;
  readonly #startedAt: number;
  readonly #syncs = new Counter({
    name: "sluice_syncs_total",
    help: "Syncs that had work, by outcome: done, refused (the kernel refused a Service), failed",
    labels: ["outcome"],
  });
  readonly #syncDuration = new Histogram(
    { name: "sluice_sync_duration_seconds", help: "Duration of a sync in seconds" },
    FINE_SYNC_BUCKETS,
  );
  readonly #kernelDuration = new Histogram(
    {
      name: "sluice_kernel_duration_seconds",
      help: "Time in seconds that the kernel took for the transactions of a sync",
    },
    FINE_SYNC_BUCKETS,
  );
  readonly #latency = new Histogram(
    {
      name: "sluice_programming_latency_seconds",
      help: "Time in seconds from the trigger annotation of an EndpointSlice to the commit",
    },
    LATENCY_BUCKETS,
  );
  readonly #operations = new Counter({
    name: "sluice_operations_total",
    help: "Elements added to and deleted from the kernel",
    labels: ["operation"],
  });
  readonly #transactions = new Counter({
    name: "sluice_transactions_total",
    help: "Committed transactions (netlink or iptables-restore)",
  });
  readonly #repairs = new Counter({
    name: "sluice_repairs_total",
    help: "Repairs of changes by other programs, by kind of object: table, chain, map, element",
    labels: ["object"],
  });
  readonly #repairDuration = new Histogram(
    {
      name: "sluice_repair_duration_seconds",
      help: "Time in seconds from the detection of a foreign change to its repair",
    },
    LATENCY_BUCKETS,
  );
  readonly #eventsDropped = new Counter({
    name: "sluice_events_dropped_total",
    help: "Lost Events: refused by the API server, or displaced by newer ones",
  });
  readonly #elements = new Gauge({
    name: "sluice_elements",
    help: "Elements in the kernel by table",
    labels: ["table"],
  });
  readonly #mode = new Gauge({
    name: "sluice_mode",
    help: "Constant 1, with the active mode: nftables or iptables",
    labels: ["mode"],
  });
  readonly #healthy = gauge("sluice_healthy", "1 while /livez answers 200, otherwise 0");
  readonly #services = gauge("sluice_services", "Number of Services");
  readonly #slices = gauge("sluice_endpoint_slices", "Number of EndpointSlices");
  readonly #endpoints = gauge("sluice_endpoints", "Number of endpoints");
  readonly #coreBytes = gauge("sluice_core_memory_bytes", "Memory of the Wasm core in bytes");
  readonly #problems = new Gauge({
    name: "sluice_problems",
    help: "Current problems by code; /sluice/v1/problems lists them",
    labels: ["code"],
  });
  readonly #connected = new Gauge({
    name: "sluice_source_connected",
    help: "1 while the API server, or the directory of manifests, answers, otherwise 0",
    labels: ["source"],
  });
  /**
   * A code without problems stays as 0, because a series that ends keeps its last value in a
   * dashboard.
   */
  readonly #codes = new Set<Problem["code"]>(ALWAYS_SHOWN);

  /** `startedAt`: ms since the epoch. Trigger annotations older than that are not measured. */
  constructor(startedAt: number) {
    this.#startedAt = startedAt;
    this.#kubeproxy = new KubeproxyMetrics(startedAt);
    this.slis = new SliMetrics(startedAt);
    for (const outcome of ["done", "refused", "failed"]) this.#syncs.add(0, outcome);
    for (const object of ["table", "chain", "map", "element"]) this.#repairs.add(0, object);
    for (const operation of ["add", "delete"]) this.#operations.add(0, operation);
  }

  /**
   * Takes the number of changed objects of each kind since the start. The increase counts as
   * pending until a sync.
   */
  changedTo(counts: { readonly [kind in ObjectChange]: number }): void {
    this.#kubeproxy.changedTo(counts);
  }

  /** Sets the families that have rules. Both by default. */
  serves(families: readonly Family[]): void {
    this.#kubeproxy.serves(families);
  }

  /** Records the request for a sync. `now`: ms since the epoch. */
  queued(now: number): void {
    this.#kubeproxy.queued(now);
  }

  /** Records a sync that ended. `now`: ms since the epoch. A sync without work is not recorded. */
  synced(report: SyncReport, now: number): void {
    if (report.outcome === "nothing") return;
    this.#kubeproxy.synced(report, now);
    this.#syncs.add(1, report.outcome);
    if (report.repair !== undefined) this.#repaired(report.repair);
    this.#syncDuration.observe(report.durationMs / 1000);
    if (report.transactions > 0) this.#kernelDuration.observe(report.kernelMs / 1000);
    this.#transactions.add(report.transactions);
    this.#operations.add(report.added, "add");
    this.#operations.add(report.operations - report.added, "delete");
    if (report.outcome === "failed") return;
    for (const trigger of report.triggerTimes) {
      if (trigger >= this.#startedAt) this.#latency.observe(programmingSeconds(trigger, now));
    }
  }

  #repaired({ driftedCounts, durationMs }: RepairReport): void {
    const kinds = Object.keys(driftedCounts);
    for (const kind of kinds) this.#repairs.add(1, kind);
    if (kinds.length > 0) this.#repairDuration.observe(durationMs / 1000);
  }

  /** Records that the connections of a family were checked. */
  flowsChecked(report: FlowsReport): void {
    this.#kubeproxy.flowsChecked(report);
  }

  /** Records an Event that will not be delivered. */
  eventDropped(): void {
    this.#eventsDropped.add(1);
  }

  /** Records the answer to a health probe. */
  answered(probe: "healthz" | "livez", code: number): void {
    this.#kubeproxy.answered(probe, code);
  }

  /** Returns all instruments of this object, with the gauges updated. */
  instruments(facts: ScrapeFacts): Instrument[] {
    const { counts, problems, sources, healthy, mode, restores } = facts;
    this.#mode.set(1, mode);
    this.#healthy.set(healthy ? 1 : 0);
    this.#services.set(counts.services);
    this.#slices.set(counts.slices);
    this.#endpoints.set(counts.endpoints);
    this.#coreBytes.set(counts.coreBytes);
    for (const [table, count] of Object.entries(counts.elements)) this.#elements.set(count, table);
    this.#setProblems(problems);
    for (const { name, connected } of sources) this.#connected.set(connected ? 1 : 0, name);
    return [
      ...this.#kubeproxy.instruments(counts, restores),
      ...this.restClient.instruments(),
      this.#syncs,
      this.#syncDuration,
      this.#kernelDuration,
      this.#latency,
      this.#operations,
      this.#transactions,
      this.#repairs,
      this.#repairDuration,
      this.#eventsDropped,
      this.#elements,
      this.#mode,
      this.#healthy,
      this.#services,
      this.#slices,
      this.#endpoints,
      this.#coreBytes,
      this.#problems,
      this.#connected,
    ];
  }

  #setProblems(problems: readonly Problem[]): void {
    const counts = new Map<Problem["code"], number>();
    for (const { code } of problems) counts.set(code, (counts.get(code) ?? 0) + 1);
    for (const code of counts.keys()) this.#codes.add(code);
    for (const code of this.#codes) this.#problems.set(counts.get(code) ?? 0, code);
  }
}

/** Returns everything that /metrics shows, in print order. */
export function scrapedInstruments(options: ScrapeOptions): Instrument[] {
  const { metrics, connections, fullFrontends, config, version, startedAt } = options;
  return [
    ...metrics.instruments(options),
    ...connections.instruments(),
    ...fullFrontends.instruments(),
    ...buildInfo(version, config),
    ...processInstruments(startedAt),
  ];
}

/** Always shown, so that an alert on one of these codes has a series before its first problem. */
const ALWAYS_SHOWN = [
  "OBJECT_INVALID",
  "FRONTEND_TAKEN",
  "AFFINITY_FULL",
  "NETLINK_REFUSED",
  "RULES_REFUSED",
  "LISTEN_FAILED",
] as const;

function gauge(name: string, help: string): Gauge {
  return new Gauge({ name, help });
}
