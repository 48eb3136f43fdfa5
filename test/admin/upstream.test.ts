/**
 * Compares the answers of Sluice with a real kube-proxy. docs/metrics.md and docs/compatibility.md
 * list the differences. The two run one after the other on one node, as in a migration.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY, missingBinary } from "../../harness/binary.ts";
import {
  type ControlPlane,
  missingControlPlane,
  startControlPlane,
} from "../../harness/cluster/control-plane.ts";
import { runAsync } from "../../harness/commands.ts";
import { inNamespace, startDaemon } from "../../harness/daemon.ts";
import { documentedMetrics } from "../../harness/metrics/documented-metrics.ts";
import { type PrintedMetric, readExposition } from "../../harness/metrics/exposition.ts";

const NODE = "upstream-node";
const CHECK_PORT = 30_999;
const GIVE_UP_MS = 60_000;

const reason = missingBinary() ?? (await missingControlPlane());
if (reason !== undefined) console.log(`skip: comparison with a real kube-proxy: ${reason}`);

/** Method, port and path. */
const REQUESTS: readonly (readonly [method: string, port: number, path: string])[] = [
  ["GET", 10256, "/healthz"],
  ["POST", 10256, "/healthz"],
  ["GET", 10256, "/livez"],
  ["DELETE", 10256, "/livez"],
  ["GET", 10256, "/healthz/"],
  ["GET", 10256, "/"],
  ["GET", CHECK_PORT, "/"],
  ["PUT", CHECK_PORT, "/any/path"],
  ["HEAD", 10256, "/healthz"],
  ["HEAD", CHECK_PORT, "/"],
  ["HEAD", 10249, "/healthz"],
  ["HEAD", 10249, "/proxyMode"],
  ["GET", 10249, "/healthz"],
  ["POST", 10249, "/healthz"],
  ["GET", 10249, "/healthz?verbose"],
  ["GET", 10249, "/healthz?exclude=ping&exclude=b&exclude=a&verbose=1"],
  ["GET", 10249, "/healthz/ping"],
  ["GET", 10249, "/healthz/ping?verbose"],
  ["GET", 10249, "/proxyMode"],
  ["POST", 10249, "/proxyMode"],
  ["DELETE", 10249, "/metrics/slis"],
  ["PUT", 10249, "/debug/flags/v"],
  ["GET", 10249, "/debug/flags/v"],
];
/** Asked for the status and headers of /metrics, on an address of the other family. */
const CURL = ["curl", "-sg", "-o", "/dev/null", "-D", "-", "http://[::1]:10249/metrics"];
const METRICS_REQUESTS = [[], ["--head"], ["-H", "Accept-Encoding: gzip"]];
const HEADERS = ["content-type", "x-content-type-options", "x-load-balancing-endpoint-weight"];

interface Answer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  /** Every time is replaced by `T`. */
  readonly body: string;
}

describe.skipIf(reason !== undefined)("compared with a real kube-proxy, Sluice", () => {
  let plane: ControlPlane;
  let upstream: {
    readonly answers: Answer[];
    readonly metrics: readonly PrintedMetric[];
    readonly flags: { readonly [name: string]: string };
    /** For each of METRICS_REQUESTS. */
    readonly metricsHeaders: readonly string[];
  };
  let own: typeof upstream;

  beforeAll(async () => {
    plane = await startControlPlane();
    await populate();
    const config = join(plane.workdir, "config.json");
    writeFileSync(
      config,
      JSON.stringify({
        apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
        kind: "KubeProxyConfiguration",
        mode: "nftables",
        hostnameOverride: NODE,
        clientConnection: { kubeconfig: plane.kubeconfigs.proxy },
        clusterCIDR: "10.244.0.0/16",
        metricsBindAddress: "0.0.0.0:10249",
        nodePortAddresses: ["0.0.0.0/0", "::/0"],
        conntrack: { maxPerCore: 0 },
        enableProfiling: true,
      }),
    );
    upstream = await observe(join(plane.programs, "kube-proxy"), config);
    // Another test covers the rules that kube-proxy leaves.
    await runAsync([...inNamespace(plane.netns.name), "nft", "flush", "ruleset"]);
    own = await observe(BINARY, config);
  }, 240_000);
  afterAll(() => plane?.stop());

  async function populate(): Promise<void> {
    const metadata = { name: NODE };
    const service = { name: "web", namespace: "default" };
    const port = { name: "http", port: 80, protocol: "TCP" };
    const objects = [
      { apiVersion: "v1", kind: "Node", metadata },
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: service,
        spec: {
          type: "LoadBalancer",
          externalTrafficPolicy: "Local",
          healthCheckNodePort: CHECK_PORT,
          ports: [port],
        },
      },
      {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { ...service, labels: { "kubernetes.io/service-name": "web" } },
        addressType: "IPv4",
        ports: [port],
        endpoints: [{ addresses: ["10.244.0.9"], nodeName: NODE, conditions: { ready: true } }],
      },
    ];
    const file = join(plane.workdir, "objects.json");
    writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
    await plane.kubectl("apply", "-f", file);
    const addresses = [{ type: "InternalIP", address: plane.netns.address }];
    const patch = JSON.stringify({ status: { addresses } });
    await plane.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", "-p", patch);
  }

  /** Runs a proxy until it serves, sends it all requests, and stops it. */
  async function observe(program: string, config: string): Promise<typeof upstream> {
    const log = join(plane.workdir, `${program.split("/").at(-1)}.log`);
    const daemon = startDaemon(plane.netns.name, [program, `--config=${config}`], log);
    try {
      for (const until = performance.now() + GIVE_UP_MS; ; await Bun.sleep(50)) {
        const response = await ask("GET", CHECK_PORT, "/").catch(() => undefined);
        if (response?.status === 200) break;
        if (performance.now() > until)
          throw new Error(`the proxy does not serve:\n${daemon.tail()}`);
      }
      const answers: Answer[] = [];
      for (const request of REQUESTS) answers.push(await ask(...request));
      const { body } = await ask("GET", 10249, "/metrics");
      const metricsHeaders: string[] = [];
      for (const options of METRICS_REQUESTS) metricsHeaders.push(await headersOfMetrics(options));
      return { answers, metrics: readExposition(body), flags: await flagz(), metricsHeaders };
    } finally {
      await daemon.stop();
    }
  }

  async function headersOfMetrics(options: readonly string[]): Promise<string> {
    const printed = await runAsync([...inNamespace(plane.netns.name), ...CURL, ...options]);
    const lines = printed.toLowerCase().split("\r\n");
    return lines.filter((line) => /^(http|content-encoding)/.test(line)).join("\n");
  }

  async function flagz(): Promise<{ readonly [name: string]: string }> {
    const response = await fetch(`http://${plane.netns.address}:10249/flagz`, {
      keepalive: false,
      headers: { Accept: "application/json;as=Flagz;v=v1beta1;g=config.k8s.io" },
    });
    const { flags } = (await response.json()) as { flags: typeof upstream.flags };
    return flags;
  }

  async function ask(method: string, port: number, path: string): Promise<Answer> {
    const response = await fetch(`http://${plane.netns.address}:${port}${path}`, {
      method,
      keepalive: false,
      ...(method === "PUT" && { body: "3" }),
    });
    const headers: { [name: string]: string } = {};
    for (const name of HEADERS) {
      const value = response.headers.get(name);
      if (value !== null) headers[name] = value;
    }
    const text = await response.text();
    return { status: response.status, headers, body: text.replace(TIME, '"T"') };
  }

  test.each(REQUESTS.map((request, index) => [request.join(" "), index] as const))(
    "answers %s like kube-proxy",
    (_, index) => {
      const [theirs, ours] = [upstream.answers[index], own.answers[index]];
      // Sluice adds this header to every answer.
      const nosniff = { "x-content-type-options": "nosniff" };
      expect(ours).toEqual({ ...theirs, headers: { ...theirs?.headers, ...nosniff } } as Answer);
    },
  );

  test("sends /metrics like kube-proxy, over IPv6 too", () => {
    expect(own.metricsHeaders).toEqual([...upstream.metricsHeaders]);
    expect(upstream.metricsHeaders.join()).toContain("content-encoding: gzip");
  });

  test("shows all flags of kube-proxy, with given values", () => {
    const names = Object.keys(upstream.flags);
    expect(names.length).toBeGreaterThan(50);
    expect(names.filter((name) => !Object.hasOwn(own.flags, name))).toEqual([]);
    expect(own.flags["config"]).toBe(String(upstream.flags["config"]));
  });

  test("exports kube-proxy's metrics with its help, type, labels and buckets", () => {
    const byName = new Map(own.metrics.map((each) => [each.name, each]));
    const documented = new Map(documentedMetrics("/metrics").map((each) => [each.name, each]));
    const compared: string[] = [];
    for (const theirs of upstream.metrics) {
      const ours = byName.get(theirs.name);
      if (ours === undefined) continue;
      compared.push(theirs.name);
      expect([ours.name, ours.help, ours.type]).toEqual([theirs.name, theirs.help, theirs.type]);
      const labels = documented.get(theirs.name)?.labels.toSorted();
      expect([theirs.name, labels]).toEqual([theirs.name, theirs.labels?.toSorted() ?? labels]);
      if (ours.samples.length > 0) {
        expect([theirs.name, bounds(ours)]).toEqual([theirs.name, bounds(theirs)]);
      }
    }
    const missing = upstream.metrics
      .map(({ name }) => name)
      .filter((name) => name.startsWith("kubeproxy_") && !compared.includes(name));
    expect(missing).toEqual([]);
    expect(compared.length).toBeGreaterThan(20);
  });
});

const TIME = /"\d{4}-\d\d-\d\dT[\d:.]+Z"/g;

/** Returns the distinct upper bounds of the buckets. */
function bounds({ samples }: PrintedMetric): string[] {
  const all = samples.flatMap((line) => /le="([^"]+)"/.exec(line)?.[1] ?? []);
  return [...new Set(all)];
}
