import { beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { V1DaemonSet } from "@kubernetes/client-node";
import { parse } from "yaml";
import { BINARY, missingBinaryOrRoot } from "../../harness/binary.ts";
import { documentedMetrics } from "../../harness/metrics/documented-metrics.ts";
import { ROOT } from "../../harness/repository.ts";
import { parseQuery } from "./promql.ts";
import { type Series, scrape, seriesOf } from "./served-metrics.ts";

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}
interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

interface PodMonitor {
  readonly spec: {
    readonly selector: {
      readonly matchExpressions: readonly { readonly key: string; readonly values: string[] }[];
    };
    readonly podMetricsEndpoints: readonly { readonly port: string }[];
  };
}

const text = (path: string) => readFileSync(join(ROOT, "deploy", path), "utf8");
const dashboard = JSON.parse(text("grafana/sluice.json")) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { name: string; definition?: string }[] };
};
const rules = (
  parse(text("prometheus/alerts.yaml")) as { groups: { rules: Rule[] }[] }
).groups.flatMap((group) => group.rules);

const panels = dashboard.panels.filter(({ type }) => type !== "row");
/** As Grafana fills in its variables. */
const filledIn = (expression: string) =>
  expression.replaceAll("$__rate_interval", "5m").replaceAll(/\$\w+/g, ".*");
const queries = [
  ...panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => [`panel ${title}`, filledIn(expr)] as const),
  ),
  ...rules.map(({ alert, expr }) => [`alert ${alert}`, expr] as const),
];

/** Of Prometheus itself, and of kube-state-metrics. */
const METRICS_OF_OTHERS = ["up", "kube_node_info"];

/** Of the mode that does not serve here; docs/metrics.md has it. */
const METRICS_OF_IPTABLES = ["kubeproxy_sync_proxy_rules_iptables_restore_failures_total"];

/** What Prometheus adds, and what only has samples once there was an API server or a failure. */
const LABELS_OF_ITS_OWN = [
  "job",
  "instance",
  "code",
  "outcome",
  "ip_family",
  "traffic_policy",
  "le",
  "os_image",
];

const elsewhere = [...METRICS_OF_OTHERS, ...METRICS_OF_IPTABLES];

const reason = missingBinaryOrRoot();
if (reason !== undefined) console.log(`skip: metrics of dashboard and alerts: ${reason}`);

test("what is asked for of the other mode is documented", () => {
  const documented = documentedMetrics("/metrics").map(({ name }) => name);
  expect(METRICS_OF_IPTABLES.filter((name) => !documented.includes(name))).toEqual([]);
});

test.each(queries)("%s asks in PromQL", (_, expression) => {
  expect(parseQuery(expression).metrics).not.toEqual([]);
});

describe.skipIf(reason !== undefined)("the metrics asked for", () => {
  let series: Series;
  beforeAll(async () => {
    series = await scrape(BINARY);
  }, 60_000);

  test.each(queries)("are there: %s", (_, expression) => {
    const { metrics, labels } = parseQuery(expression);
    expect(metrics.filter((name) => !series.has(name) && !elsewhere.includes(name))).toEqual([]);
    const known = new Set([
      ...LABELS_OF_ITS_OWN,
      ...metrics.flatMap((name) => [...(series.get(name) ?? [])]),
    ]);
    expect(labels.filter((label) => !known.has(label))).toEqual([]);
  });

  test("fill the dashboard's variables", () => {
    for (const { definition = "" } of dashboard.templating.list.slice(1)) {
      const [, name = ""] = /^label_values\((\w+)/.exec(definition) ?? [];
      expect([...series.keys()]).toContain(name);
    }
  });
});

test("no two panels lie on each other, and none leaves the grid", () => {
  const cells = new Set<string>();
  for (const { title, gridPos } of dashboard.panels) {
    expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect([title, cells.has(`${x},${y}`)]).toEqual([title, false]);
        cells.add(`${x},${y}`);
      }
    }
  }
});

test.each(rules.map((rule) => [rule.alert, rule] as const))("%s says what to do", (_, rule) => {
  expect(["critical", "warning", "info"]).toContain(rule.labels.severity);
  expect(rule.annotations.summary.length).toBeLessThan(120);
  expect(rule.annotations.runbook).toMatch(/^Means: .+ Do: .+\.$/);
});

test.each(["base", "kubeadm"])("the PodMonitor finds the pods of deploy/kubernetes/%s", (name) => {
  const { spec } = parse(text("prometheus/podmonitor.yaml")) as PodMonitor;
  const { spec: set } = parse(text(`kubernetes/${name}/daemonset.yaml`)) as V1DaemonSet;
  const [container] = set?.template.spec?.containers ?? [];
  // The patch leaves kubeadm's labels as they are.
  const label = set?.template.metadata?.labels?.["k8s-app"] ?? "kube-proxy";
  expect(spec.selector.matchExpressions.map(({ key }) => key)).toEqual(["k8s-app"]);
  expect(spec.selector.matchExpressions[0]?.values).toContain(label);
  const ports = container?.ports?.flatMap((port) => port.name ?? []);
  expect(ports).toContain(spec.podMetricsEndpoints[0]?.port ?? "");
});

test("a missing metric, label or bracket would be noticed", () => {
  const { metrics, labels } = parseQuery('sum by (a) (rate(x_total{b="c"}[5m])) > on (d) y');
  expect(metrics).toEqual(["x_total", "y"]);
  expect(labels).toEqual(["a", "b", "d"]);
  expect(() => parseQuery("sum by (a) (rate(x_total[5m])")).toThrow("it must be PromQL");
  const series = seriesOf('# TYPE x histogram\nx_bucket{le="1",a="b"} 3\n# TYPE y gauge\ny 1\n');
  expect([...series.keys()]).toEqual(["x_bucket", "x_sum", "x_count", "y"]);
  expect([...(series.get("x_bucket") ?? [])]).toEqual(["le", "a"]);
});
