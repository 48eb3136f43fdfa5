/** Scrapes /metrics of the built binary while it serves one Service with one endpoint. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNamespace } from "../../harness/cluster/cabled-netns.ts";
import { runAsync } from "../../harness/commands.ts";
import { inNamespace, startDaemon } from "../../harness/daemon.ts";
import { until } from "../../harness/waiting.ts";

const OBJECTS = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: ClusterIP, clusterIP: 10.96.7.7, clusterIPs: [10.96.7.7], ports: [{port: 80, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.7]}]
ports: [{port: 80, protocol: UDP}]
`;

/** Maps each series name to its labels. Names of histogram series include their suffixes. */
export type Series = ReadonlyMap<string, ReadonlySet<string>>;

/** @throws Error with the program's log if it does not answer */
export async function scrape(binary: string): Promise<Series> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-scrape-"));
  const manifests = join(folder, "manifests");
  mkdirSync(manifests);
  writeFileSync(join(manifests, "web.yaml"), OBJECTS);
  const node = createNamespace();
  const daemon = startDaemon(
    node.name,
    [
      ...[binary, `--manifests=${manifests}`, "--hostname-override=here"],
      "--metrics-bind-address=0.0.0.0:10249",
    ],
    join(folder, "log"),
  );
  const url = `http://${node.address}`;
  try {
    const isOk = async (path: string) => (await fetch(`${url}:${path}`).catch(() => undefined))?.ok;
    const wait = { limitMs: 30_000, pollMs: 20, explain: () => daemon.tail() };
    await until("Sluice is healthy", async () => (await isOk("10256/livez")) === true, wait);
    // A counter has a series only after its first event.
    await isOk("10256/healthz");
    let series: Series = new Map();
    const isCounted = async () => {
      await runAsync([...inNamespace(node.name), "bash", "-c", "echo >/dev/udp/10.96.7.7/80"]);
      series = seriesOf(await (await fetch(`${url}:10249/metrics`)).text());
      return series.get("sluice_endpoint_connections_total")?.size !== 0;
    };
    await until("a connection is counted", isCounted, wait);
    return series;
  } finally {
    await daemon.stop();
    node.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Reads the Prometheus text format. A series without samples has no labels yet. */
export function seriesOf(text: string): Series {
  const series = new Map<string, Set<string>>();
  const at = (name: string) => {
    const labels = series.get(name) ?? new Set<string>();
    series.set(name, labels);
    return labels;
  };
  for (const [, name = "", type] of text.matchAll(/^# TYPE (\w+) (\w+)$/gm)) {
    const endings = type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
    for (const ending of endings) at(`${name}${ending}`);
  }
  for (const [, name = "", labels = ""] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
    for (const [, label = ""] of labels.matchAll(/(\w+)="/g)) at(name).add(label);
  }
  return series;
}
