import { beforeEach, describe, expect, test } from "bun:test";
import { expose } from "../../src/observe/exposition.ts";
import { Counter, exponentialBuckets, Gauge, Histogram } from "../../src/observe/instruments.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import type { Counts } from "../../src/observe/view.ts";
import type { SyncReport } from "../../src/sync/loop.ts";

const START = 1_700_000_000_000;
const COUNTS: Counts = {
  services: 3,
  slices: 4,
  endpoints: 5,
  elements: { frontends: 6 },
  coreBytes: 65536,
  noLocalEndpoints: [{ policy: "external", family: 6, count: 2 }],
};
const REPORT: SyncReport = {
  outcome: "done",
  owners: 1,
  operations: 4,
  bytes: 400,
  transactions: 1,
  kernelMs: 0.04,
  durationMs: 0.3,
  triggerTimes: [],
  repaired: false,
  error: undefined,
};

let metrics: Metrics;
beforeEach(() => {
  metrics = new Metrics(START);
});

async function lines(cpuSeconds = 1): Promise<string[]> {
  const process = { rssBytes: 1000, cpuSeconds };
  const { body } = await expose(metrics.instruments(COUNTS, 7, process, []));
  return body.split("\n");
}

test("the gauges are those of the moment", async () => {
  const text = await lines();
  expect(text).toContain("sluice_services 3");
  expect(text).toContain("sluice_endpoint_slices 4");
  expect(text).toContain("sluice_endpoints 5");
  expect(text).toContain('sluice_elements{table="frontends"} 6');
  expect(text).toContain("sluice_problems 7");
  expect(text).toContain("sluice_core_memory_bytes 65536");
  expect(text).toContain("process_resident_memory_bytes 1000");
  expect(text).toContain("process_start_time_seconds 1700000000");
  expect(text).toContain(
    'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="external",ip_family="IPv6"} 2',
  );
});

test("processor time is what the process has used, at every scrape", async () => {
  await lines(1.5);
  expect(await lines(2)).toContain("process_cpu_seconds_total 2");
});

test("every upstream name that dashboards ask for is there before anything happened", async () => {
  const text = (await lines()).join("\n");
  for (const name of [
    "sync_proxy_rules_duration_seconds histogram",
    "network_programming_duration_seconds histogram",
    "sync_proxy_rules_last_timestamp_seconds gauge",
    "sync_proxy_rules_last_queued_timestamp_seconds gauge",
    "sync_proxy_rules_endpoint_changes_pending gauge",
    "sync_proxy_rules_endpoint_changes_total counter",
    "sync_proxy_rules_service_changes_pending gauge",
    "sync_proxy_rules_service_changes_total counter",
    "sync_proxy_rules_no_local_endpoints_total gauge",
    "proxy_healthz_total counter",
    "proxy_livez_total counter",
    "sync_proxy_rules_nftables_sync_failures_total counter",
  ]) {
    expect(text).toContain(`# TYPE kubeproxy_${name}\n`);
  }
  expect(text).toContain('nftables_sync_failures_total{ip_family="IPv4"} 0');
});

describe("a sync", () => {
  test("that is done ends the waiting and dates both families", async () => {
    metrics.changedTo({ endpoint: 2, service: 1 });
    metrics.queued(START + 1000);
    expect(await lines()).toContain("kubeproxy_sync_proxy_rules_endpoint_changes_pending 2");
    metrics.synced(REPORT, START + 2500);
    const text = await lines();
    expect(text).toContain("kubeproxy_sync_proxy_rules_endpoint_changes_pending 0");
    expect(text).toContain("kubeproxy_sync_proxy_rules_endpoint_changes_total 2");
    expect(text).toContain("kubeproxy_sync_proxy_rules_service_changes_pending 0");
    expect(text).toContain(
      'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv6"} 1700000002.5',
    );
    expect(text).toContain(
      'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} 1700000001',
    );
    expect(text).toContain('sluice_syncs_total{outcome="done"} 1');
    expect(text).toContain("sluice_operations_total 4");
    expect(text).toContain("sluice_transactions_total 1");
    expect(text).toContain('sluice_sync_duration_seconds_bucket{le="0.0002"} 0');
    expect(text).toContain('sluice_sync_duration_seconds_bucket{le="0.0004"} 1');
    expect(text).toContain('sluice_kernel_duration_seconds_bucket{le="0.00005"} 1');
  });

  test("that failed is counted, and its changes still wait", async () => {
    metrics.changedTo({ endpoint: 0, service: 1 });
    metrics.synced(
      { ...REPORT, outcome: "failed", operations: 0, transactions: 0, triggerTimes: [START + 1] },
      START + 2,
    );
    const text = await lines();
    expect(text).toContain('sluice_syncs_total{outcome="failed"} 1');
    expect(text).toContain(
      'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv4"} 1',
    );
    expect(text).toContain("kubeproxy_sync_proxy_rules_service_changes_pending 1");
    expect(text).toContain("sluice_programming_latency_seconds_count 0");
    expect(text.join("\n")).not.toContain("last_timestamp_seconds{");
  });

  test("that found nothing to do is not one", async () => {
    metrics.synced({ ...REPORT, outcome: "nothing" }, START);
    expect((await lines()).join("\n")).toContain("sluice_sync_duration_seconds_count 0");
  });

  test("measures from the trigger annotation, unless that is older than the process", async () => {
    const triggerTimes = [START - 1, START + 1000, START + 9000];
    metrics.synced({ ...REPORT, triggerTimes }, START + 3000);
    const text = await lines();
    expect(text).toContain("sluice_programming_latency_seconds_count 2");
    expect(text).toContain("sluice_programming_latency_seconds_sum 2");
    expect(text).toContain(
      'kubeproxy_network_programming_duration_seconds_bucket{ip_family="IPv4",le="2"} 2',
    );
  });
});

test("answers of health probes are counted by code", async () => {
  metrics.answered("healthz", 503);
  metrics.answered("livez", 200);
  metrics.answered("livez", 200);
  const text = await lines();
  expect(text).toContain('kubeproxy_proxy_healthz_total{code="503"} 1');
  expect(text).toContain('kubeproxy_proxy_livez_total{code="200"} 2');
});

describe("the text", () => {
  test("of every kind of instrument is Prometheus's", async () => {
    const counter = new Counter({ name: "c_total", help: "a\nb", labels: ["name"] });
    counter.add(1, 'x"y\\');
    const gauge = new Gauge({ name: "g", help: "g" });
    gauge.set(-1.5);
    const histogram = new Histogram({ name: "h", help: "h" }, [1, 2]);
    for (const value of [1, 1.5, 3]) histogram.observe(value);
    const { contentType, body } = await expose([counter, gauge, histogram]);
    expect(contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(body.trim().split(/\n+/)).toEqual([
      "# HELP c_total a\\nb",
      "# TYPE c_total counter",
      'c_total{name="x\\"y\\\\"} 1',
      "# HELP g g",
      "# TYPE g gauge",
      "g -1.5",
      "# HELP h h",
      "# TYPE h histogram",
      'h_bucket{le="1"} 1',
      'h_bucket{le="2"} 2',
      'h_bucket{le="+Inf"} 3',
      "h_sum 5.5",
      "h_count 3",
    ]);
  });

  test("refuses a record with the wrong labels", () => {
    const counter = new Counter({ name: "c", help: "c", labels: ["code"] });
    expect(() => counter.add(1)).toThrow("Cannot record c: its labels are [code]");
  });
});

test("exponential buckets are round numbers", () => {
  expect(exponentialBuckets(0.001, 2, 15).slice(-2)).toEqual([8.192, 16.384]);
  expect(exponentialBuckets(0.00005, 2, 4)).toEqual([0.00005, 0.0001, 0.0002, 0.0004]);
});

test("a sync that mended what somebody else had changed is counted", async () => {
  expect(await lines()).toContain("sluice_repairs_total 0");
  metrics.synced({ ...REPORT, repaired: true }, START);
  metrics.synced(REPORT, START);
  expect(await lines()).toContain("sluice_repairs_total 1");
});

test("flows of UDP that were deleted are counted by family, under upstream's names", async () => {
  metrics.flowsChecked({ family: 6, entries: 9, deleted: 4, busyMs: 1, durationMs: 3 });
  const text = await lines();
  const prefix = "kubeproxy_conntrack_reconciler";
  expect(text).toContain(`${prefix}_deleted_entries_total{ip_family="IPv6"} 4`);
  expect(text).toContain(`${prefix}_sync_duration_seconds_bucket{ip_family="IPv6",le="0.004"} 1`);
});
