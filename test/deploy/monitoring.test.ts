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
  readonly annotations: {
    readonly summary: string;
    readonly description: string;
    readonly runbook: string;
  };
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
/** Replaces Grafana's variables by values. */
const filledIn = (expression: string) =>
  expression.replaceAll("$__rate_interval", "5m").replaceAll(/\$\w+/g, ".*");
const queries = [
  ...panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => [`panel ${title}`, filledIn(expr)] as const),
  ),
  ...rules.map(({ alert, expr }) => [`alert ${alert}`, expr] as const),
];

/** Metrics of Prometheus itself, and of kube-state-metrics. */
const FOREIGN_METRICS = ["up", "kube_node_info"];

/** Metrics of the mode that the test does not run. docs/metrics.md must list them. */
const IPTABLES_METRICS = ["kubeproxy_sync_proxy_rules_iptables_restore_failures_total"];

/** Labels that Prometheus adds, and labels that appear only with an API server or a failure. */
const UNCHECKED_LABELS = [
  "job",
  "instance",
  "code",
  "outcome",
  "ip_family",
  "traffic_policy",
  "le",
  "os_image",
  "namespace",
  "service",
];

const elsewhere = [...FOREIGN_METRICS, ...IPTABLES_METRICS];

const reason = missingBinaryOrRoot();
if (reason !== undefined) console.log(`skip: metrics of dashboard and alerts: ${reason}`);

test("metrics of the other mode are documented", () => {
  const documented = documentedMetrics("/metrics").map(({ name }) => name);
  expect(IPTABLES_METRICS.filter((name) => !documented.includes(name))).toEqual([]);
});

test.each(queries)("%s is valid PromQL", (_, expression) => {
  expect(parseQuery(expression).metrics).not.toEqual([]);
});

describe.skipIf(reason !== undefined)("/metrics of the binary", () => {
  let series: Series;
  beforeAll(async () => {
    series = await scrape(BINARY);
  }, 60_000);

  test.each(queries)("has the metrics and labels of %s", (_, expression) => {
    const { metrics, labels } = parseQuery(expression);
    expect(metrics.filter((name) => !series.has(name) && !elsewhere.includes(name))).toEqual([]);
    const known = new Set([
      ...UNCHECKED_LABELS,
      ...metrics.flatMap((name) => [...(series.get(name) ?? [])]),
    ]);
    expect(labels.filter((label) => !known.has(label))).toEqual([]);
  });

  test("has the metrics of the dashboard's variables", () => {
    for (const { definition = "" } of dashboard.templating.list.slice(1)) {
      const [, name = ""] = /^label_values\((\w+)/.exec(definition) ?? [];
      expect([...series.keys()]).toContain(name);
    }
  });
});

test("panels neither overlap nor leave the grid", () => {
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

test.each(rules.map((rule) => [rule.alert, rule] as const))(
  "%s has a meaning and numbered steps",
  (_, { labels, annotations }) => {
    expect(["critical", "warning", "info"]).toContain(labels.severity);
    expect(annotations.summary.length).toBeLessThan(100);
    // One paragraph: what happened, then what it affects.
    expect(annotations.description).toMatch(/^[A-Z0-9].+\. .+\.$/);
    for (const [index, step] of annotations.runbook.split("\n").entries()) {
      expect(step).toMatch(new RegExp(`^${index + 1}\\. .+\\.$`));
    }
  },
);

test.each(["base", "kubeadm"])(
  "the PodMonitor selects the pods of deploy/kubernetes/%s",
  (name) => {
    const { spec } = parse(text("prometheus/podmonitor.yaml")) as PodMonitor;
    const { spec: set } = parse(text(`kubernetes/${name}/daemonset.yaml`)) as V1DaemonSet;
    const [container] = set?.template.spec?.containers ?? [];
    // The patch for kubeadm keeps the labels of its DaemonSet.
    const label = set?.template.metadata?.labels?.["k8s-app"] ?? "kube-proxy";
    expect(spec.selector.matchExpressions.map(({ key }) => key)).toEqual(["k8s-app"]);
    expect(spec.selector.matchExpressions[0]?.values).toContain(label);
    const ports = container?.ports?.flatMap((port) => port.name ?? []);
    expect(ports).toContain(spec.podMetricsEndpoints[0]?.port ?? "");
  },
);

test("the checks detect a missing metric, label or bracket", () => {
  const { metrics, labels } = parseQuery('sum by (a) (rate(x_total{b="c"}[5m])) > on (d) y');
  expect(metrics).toEqual(["x_total", "y"]);
  expect(labels).toEqual(["a", "b", "d"]);
  expect(() => parseQuery("sum by (a) (rate(x_total[5m])")).toThrow("invalid PromQL at 29");
  const series = seriesOf('# TYPE x histogram\nx_bucket{le="1",a="b"} 3\n# TYPE y gauge\ny 1\n');
  expect([...series.keys()]).toEqual(["x_bucket", "x_sum", "x_count", "y"]);
  expect([...(series.get("x_bucket") ?? [])]).toEqual(["le", "a"]);
});
