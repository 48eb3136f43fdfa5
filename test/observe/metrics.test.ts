import { beforeEach, describe, expect, test } from "bun:test";
import type { FlowsReport } from "../../src/conntrack/reconcile-flows.ts";
import { expose } from "../../src/observe/exposition.ts";
import { Counter, exponentialBuckets, Gauge, Histogram } from "../../src/observe/instruments.ts";
import { Metrics, type ScrapeFacts } from "../../src/observe/metrics.ts";
import type { Counts } from "../../src/observe/view.ts";
import type { Problem } from "../../src/problems/problem.ts";
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
  added: 3,
  bytes: 400,
  transactions: 1,
  kernelMs: 0.04,
  durationMs: 0.3,
  triggerTimes: [],
  repair: undefined,
  error: undefined,
};

let metrics: Metrics;
beforeEach(() => {
  metrics = new Metrics(START);
});

async function lines(facts: Partial<ScrapeFacts> = {}): Promise<string[]> {
  const { body } = await expose(
    metrics.instruments({
      counts: COUNTS,
      problems: [],
      sources: [],
      healthy: true,
      mode: "nftables",
      restores: undefined,
      ...facts,
    }),
  );
  return body.split("\n");
}

function problem(code: Problem["code"], field = ""): Problem {
  return { subject: "Service default/web", code, field, message: "" };
}

test("gauges have the current values", async () => {
  const text = await lines();
  expect(text).toContain("sluice_services 3");
  expect(text).toContain("sluice_endpoint_slices 4");
  expect(text).toContain("sluice_endpoints 5");
  expect(text).toContain('sluice_elements{table="frontends"} 6');
  expect(text).toContain("sluice_core_memory_bytes 65536");
  expect(text).toContain(
    'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="external",ip_family="IPv6"} 2',
  );
});

test.each([
  [true, "sluice_healthy 1"],
  [false, "sluice_healthy 0"],
])("sluice_healthy with %p", async (healthy, line) => {
  expect(await lines({ healthy })).toContain(line);
});

test("problems are counted by code, and a resolved one stays as 0", async () => {
  const problems = [problem("OBJECT_INVALID", "a"), problem("OBJECT_INVALID", "b")];
  const during = await lines({ problems: [...problems, problem("CORE_MEMORY")] });
  expect(during).toContain('sluice_problems{code="OBJECT_INVALID"} 2');
  expect(during).toContain('sluice_problems{code="CORE_MEMORY"} 1');
  expect(during).toContain('sluice_problems{code="LISTEN_FAILED"} 0');
  const after = await lines();
  expect(after).toContain('sluice_problems{code="OBJECT_INVALID"} 0');
  expect(after).toContain('sluice_problems{code="CORE_MEMORY"} 0');
});

test("a source shows whether it answers", async () => {
  const source = { name: "https://api:6443", synced: true, lastError: "", lastEventAt: 0 };
  const shown = async (connected: boolean) => lines({ sources: [{ ...source, connected }] });
  expect(await shown(true)).toContain('sluice_source_connected{source="https://api:6443"} 1');
  expect(await shown(false)).toContain('sluice_source_connected{source="https://api:6443"} 0');
});

test("all kube-proxy metrics exist before the first event", async () => {
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
    "sync_proxy_rules_nftables_cleanup_failures_total counter",
    "sync_full_proxy_rules_duration_seconds histogram",
    "sync_partial_proxy_rules_duration_seconds histogram",
    "conntrack_reconciler_sync_duration_seconds histogram",
    "conntrack_reconciler_deleted_entries_total counter",
  ]) {
    expect(text).toContain(`# TYPE kubeproxy_${name}\n`);
  }
  expect(text).toContain('nftables_sync_failures_total{ip_family="IPv4"} 0');
});

describe("the active mode", () => {
  test("is shown, and nftables has no iptables metrics", async () => {
    const text = await lines();
    expect(text).toContain('sluice_mode{mode="nftables"} 1');
    expect(text.filter((line) => line.includes("_iptables_"))).toEqual([]);
  });

  test("iptables has kube-proxy's iptables metrics instead of its nftables metrics", async () => {
    const restores: ScrapeFacts["restores"] = [4, 6].map((family) => ({
      family: family === 4 ? 4 : 6,
      rules: [
        { table: "nat", total: 100 * family, last: family },
        { table: "filter", total: 10 * family, last: 0 },
      ],
      failures: family === 4 ? 3 : 0,
      partialFailures: family === 4 ? 2 : 0,
    }));
    const text = await lines({ mode: "iptables", restores });
    expect(text.filter((line) => line.includes("_nftables_"))).toEqual([]);
    expect(text).toContain('sluice_mode{mode="iptables"} 1');
    const prefix = "kubeproxy_sync_proxy_rules_iptables_";
    expect(text.filter((line) => line.startsWith(prefix))).toEqual([
      `${prefix}restore_failures_total{ip_family="IPv4"} 3`,
      `${prefix}restore_failures_total{ip_family="IPv6"} 0`,
      `${prefix}partial_restore_failures_total{ip_family="IPv4"} 2`,
      `${prefix}partial_restore_failures_total{ip_family="IPv6"} 0`,
      `${prefix}total{table="nat",ip_family="IPv4"} 400`,
      `${prefix}total{table="filter",ip_family="IPv4"} 40`,
      `${prefix}total{table="nat",ip_family="IPv6"} 600`,
      `${prefix}total{table="filter",ip_family="IPv6"} 60`,
      `${prefix}last{table="nat",ip_family="IPv4"} 4`,
      `${prefix}last{table="filter",ip_family="IPv4"} 0`,
      `${prefix}last{table="nat",ip_family="IPv6"} 6`,
      `${prefix}last{table="filter",ip_family="IPv6"} 0`,
    ]);
  });
});

describe("a sync", () => {
  test("that succeeds clears pending changes and sets the time of both families", async () => {
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
    expect(text).toContain('sluice_operations_total{operation="add"} 3');
    expect(text).toContain('sluice_operations_total{operation="delete"} 1');
    expect(text).toContain("sluice_transactions_total 1");
    expect(text).toContain('sluice_sync_duration_seconds_bucket{le="0.0002"} 0');
    expect(text).toContain('sluice_sync_duration_seconds_bucket{le="0.0004"} 1');
    expect(text).toContain('sluice_kernel_duration_seconds_bucket{le="0.00005"} 1');
  });

  test("that fails is counted, and its changes stay pending", async () => {
    metrics.changedTo({ endpoint: 0, service: 1 });
    metrics.synced(
      {
        ...REPORT,
        outcome: "failed",
        operations: 0,
        added: 0,
        transactions: 0,
        triggerTimes: [START + 1],
      },
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

  test("is full until one succeeds, and after the table was deleted", async () => {
    const count = async (extent: string) => {
      const name = `kubeproxy_sync_${extent}proxy_rules_duration_seconds_count`;
      const line = (await lines()).find((each) => each.startsWith(`${name}{ip_family="IPv4"}`));
      return Number(line?.split(" ")[1] ?? 0);
    };
    const change = { what: "everything", by: "nft (pid 7)" };
    const repair = { change, changes: 1, driftedCounts: { table: 1 }, durationMs: 3 };
    metrics.synced({ ...REPORT, outcome: "failed" }, START);
    metrics.synced(REPORT, START);
    expect([await count("full_"), await count("partial_")]).toEqual([2, 0]);
    metrics.synced(REPORT, START);
    metrics.synced({ ...REPORT, outcome: "failed" }, START);
    expect([await count("full_"), await count("partial_")]).toEqual([2, 2]);
    metrics.synced({ ...REPORT, repair }, START);
    expect([await count("full_"), await count("partial_"), await count("")]).toEqual([3, 2, 5]);
  });

  test("without work is not counted", async () => {
    metrics.synced({ ...REPORT, outcome: "nothing" }, START);
    expect((await lines()).join("\n")).toContain("sluice_sync_duration_seconds_count 0");
  });

  test("is measured from the trigger annotation, unless that is older than the process", async () => {
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

test("a lost Event is counted", async () => {
  expect(await lines()).toContain("sluice_events_dropped_total 0");
  metrics.eventDropped();
  expect(await lines()).toContain("sluice_events_dropped_total 1");
});

test("answers of health probes are counted by code", async () => {
  metrics.answered("healthz", 503);
  metrics.answered("livez", 200);
  metrics.answered("livez", 200);
  const text = await lines();
  expect(text).toContain('kubeproxy_proxy_healthz_total{code="503"} 1');
  expect(text).toContain('kubeproxy_proxy_livez_total{code="200"} 2');
});

describe("the exposition", () => {
  test("has the Prometheus format for each type of instrument", async () => {
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

  test("prints many samples in parts, with one head and pauses in between", async () => {
    const many = new Counter({ name: "many_total", help: "many", labels: ["n"] });
    const all = Array.from({ length: 1700 }, (_, n) => `many_total{n="${n}"} 1`);
    for (let n = 0; n < all.length; n++) many.add(1, String(n));
    const few = new Gauge({ name: "few", help: "few" });
    let rests = 0;
    const { body } = await expose(
      [few, many, new Counter({ name: "none", help: "none", labels: ["n"] }), few],
      async () => {
        rests++;
        many.add(1, "0");
      },
    );
    expect(body).toBe(
      [
        "# HELP few few\n# TYPE few gauge\nfew 0",
        `# HELP many_total many\n# TYPE many_total counter\n${all.join("\n")}`,
        "# HELP none none\n# TYPE none counter",
        "# HELP few few\n# TYPE few gauge\nfew 0\n",
      ].join("\n\n"),
    );
    expect(rests).toBe(3);
  });

  test("rejects a record with wrong labels", () => {
    const counter = new Counter({ name: "c", help: "c", labels: ["code"] });
    expect(() => counter.add(1)).toThrow(
      "record c: invalid label values []: must match the labels [code]",
    );
  });
});

test("exponential buckets are round numbers", () => {
  expect(exponentialBuckets(0.001, 2, 15).slice(-2)).toEqual([8.192, 16.384]);
  expect(exponentialBuckets(0.00005, 2, 4)).toEqual([0.00005, 0.0001, 0.0002, 0.0004]);
});

test("a sync that repaired a foreign change is counted", async () => {
  const none = ["table", "chain", "map", "element"].map(
    (object) => `sluice_repairs_total{object="${object}"} 0`,
  );
  expect(await lines()).toEqual(expect.arrayContaining(none));
  const change = { what: "elements of frontends4", by: "nft (pid 7)" };
  const repair = { change, changes: 1, driftedCounts: { chain: 1, element: 40 }, durationMs: 3 };
  metrics.synced({ ...REPORT, repair }, START);
  metrics.synced({ ...REPORT, repair: { ...repair, driftedCounts: {} } }, START);
  const text = await lines();
  expect(text).toContain('sluice_repairs_total{object="chain"} 1');
  expect(text).toContain('sluice_repairs_total{object="element"} 1');
  expect(text).toContain('sluice_repairs_total{object="map"} 0');
  expect(text).toContain('sluice_repair_duration_seconds_bucket{le="0.004"} 1');
  expect(text).toContain("sluice_repair_duration_seconds_count 1");
});

test("deleted UDP flows are counted by family in kube-proxy's metrics", async () => {
  metrics.flowsChecked({ family: 6, entries: 9, deleted: 4, busyMs: 1, durationMs: 3 });
  const text = await lines();
  const prefix = "kubeproxy_conntrack_reconciler";
  expect(text).toContain(`${prefix}_deleted_entries_total{ip_family="IPv6"} 4`);
  expect(text).toContain(`${prefix}_sync_duration_seconds_bucket{ip_family="IPv6",le="0.004"} 1`);
});

test("kube-proxy's metrics omit a family without rules", async () => {
  metrics.serves([4]);
  metrics.queued(START);
  metrics.synced(REPORT, START + 1000);
  const flows = { deleted: 1, durationMs: 1 };
  metrics.flowsChecked({ family: 4, ...flows } as FlowsReport);
  metrics.flowsChecked({ family: 6, ...flows } as FlowsReport);
  const text = await lines();
  expect(text).toContain(
    'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv4"} 1',
  );
  expect(text.filter((line) => line.includes("IPv6"))).toEqual([]);
});
