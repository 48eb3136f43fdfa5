/** Tests the HTTP servers of the binary from outside. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BINARY, missingBinaryOrRoot } from "../../harness/binary.ts";
import { createNamespace, type Namespace } from "../../harness/cluster/cabled-netns.ts";
import { runAsync } from "../../harness/commands.ts";
import { type Daemon, inNamespace, startDaemon } from "../../harness/daemon.ts";
import { documentedMetrics } from "../../harness/metrics/documented-metrics.ts";
import { type PrintedMetric, readExposition } from "../../harness/metrics/exposition.ts";
import { until } from "../../harness/waiting.ts";

const GIVE_UP_MS = 60_000;
const SERVICES = 10_000;

const reason = missingBinaryOrRoot();
if (reason !== undefined) console.log(`skip: the program's HTTP servers: ${reason}`);

describe.skipIf(reason !== undefined)("dist/sluice", () => {
  let folder: string;
  let manifests: string;
  let node: Namespace;
  let daemon: Daemon | undefined;
  beforeAll(() => {
    node = createNamespace();
  });
  afterAll(() => node?.remove());
  afterEach(async () => {
    await daemon?.stop("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  function start(...flags: readonly string[]): Daemon {
    const listening = ["--metrics-bind-address=0.0.0.0", "--hostname-override=here"];
    const log = join(folder, "log");
    daemon = startDaemon(node.name, [BINARY, ...listening, ...flags], log);
    return daemon;
  }

  function prepare(): void {
    folder = mkdtempSync(join(tmpdir(), "sluice-http-"));
    manifests = join(folder, "manifests");
    mkdirSync(manifests);
  }

  /** Writes a manifest file atomically. */
  function put(name: string, objects: readonly object[]): void {
    const draft = join(folder, "draft");
    writeFileSync(draft, JSON.stringify({ kind: "List", apiVersion: "v1", items: objects }));
    renameSync(draft, join(manifests, name));
  }

  function get(path: string, port = 10249): Promise<Response> {
    return fetch(`http://${node.address}:${port}${path}`, { keepalive: false });
  }

  async function answered(path: string, port: number): Promise<Response> {
    for (const until = performance.now() + GIVE_UP_MS; performance.now() < until; ) {
      const response = await get(path, port).catch(() => undefined);
      if (response !== undefined) return response;
      await Bun.sleep(20);
    }
    throw new Error(`no answer on port ${port}:\n${daemon?.tail()}`);
  }

  async function logged(text: string): Promise<void> {
    for (const until = performance.now() + GIVE_UP_MS; performance.now() < until; ) {
      if (readFileSync(join(folder, "log"), "utf8").includes(text)) return;
      await Bun.sleep(20);
    }
    throw new Error(`"${text}" is not in the log:\n${daemon?.tail()}`);
  }

  async function scrape(): Promise<PrintedMetric[]> {
    const response = await get("/metrics");
    expect(response.status).toBe(200);
    return readExposition(await response.text());
  }

  /** Expects exactly the documented metrics of the mode, with the documented labels. */
  function expectDocumented(
    printed: readonly PrintedMetric[],
    path: "/metrics" | "/metrics/slis",
    active = "nftables",
  ) {
    const there = documentedMetrics(path).filter(({ mode = active }) => mode === active);
    const documented = new Map(there.map((each) => [each.name, each]));
    expect(printed.map(({ name }) => name).sort()).toEqual([...documented.keys()].sort());
    for (const { name, type, labels, help } of printed) {
      expect(help).not.toBe("");
      const wanted = documented.get(name);
      expect([name, type, labels ?? wanted?.labels]).toEqual([name, wanted?.type, wanted?.labels]);
    }
  }

  test("answers while the API server is unreachable: unhealthy, but with metrics", async () => {
    prepare();
    const cluster = { server: `https://${node.outside}:6443` };
    const kubeconfig = join(folder, "kubeconfig");
    const context = { cluster: "c", user: "u" };
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        "current-context": "c",
        contexts: [{ name: "c", context }],
        clusters: [{ name: "c", cluster }],
        users: [{ name: "u", user: { token: "t" } }],
      }),
    );
    start(`--kubeconfig=${kubeconfig}`);
    const live = await answered("/livez", 10256);
    expect(live.status).toBe(503);
    expect(await live.json()).toMatchObject({
      lastUpdated: "0001-01-01T00:00:00Z",
      healthy: false,
      source: { connected: false },
    });
    const printed = await scrape();
    expectDocumented(printed, "/metrics");
    const connected = printed.find(({ name }) => name === "sluice_source_connected");
    expect(connected?.samples).toEqual([`sluice_source_connected{source="${cluster.server}"} 0`]);
  });

  test.each(["nftables", "iptables"])(
    "prints exactly the metrics of docs/metrics.md with %s",
    async (mode) => {
      prepare();
      put("one.json", [...objects(0, 1)]);
      start(`--manifests=${manifests}`, `--proxy-mode=${mode}`);
      expect((await answered("/healthz", 10256)).status).toBe(200);
      expectDocumented(await scrape(), "/metrics", mode);
      await get("/healthz");
      const slis = readExposition(await (await get("/metrics/slis")).text());
      expectDocumented(slis, "/metrics/slis");
    },
  );

  /** The status of an answer to a request from the node itself; 0 without one. */
  async function statusOf(url: string): Promise<number> {
    const curl = ["curl", "-sg", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", url];
    return Number(await runAsync([...inNamespace(node.name), ...curl]).catch(() => "0"));
  }

  test.each(["0.0.0.0", "[::]"])("%s listens on every family of the node", async (wildcard) => {
    prepare();
    put("one.json", [...objects(0, 1)]);
    const flags = [
      `--healthz-bind-address=${wildcard}:10256`,
      `--metrics-bind-address=${wildcard}:10249`,
    ];
    start(`--manifests=${manifests}`, ...flags, "--admin-bind-address=0.0.0.0:10250");
    expect((await answered("/healthz", 10256)).status).toBe(200);
    for (const host of ["127.0.0.1", "[::1]", node.address]) {
      const urls = ["10256/livez", "10249/metrics", "10250/sluice/v1/state"];
      const statuses = urls.map((url) => statusOf(`http://${host}:${url}`));
      expect([host, await Promise.all(statuses)]).toEqual([host, [200, 200, 200]]);
    }
  });

  test.each(["0.0.0.0", "[::]"])("%s listens on IPv4 without IPv6 addresses", async (wildcard) => {
    prepare();
    put("one.json", [...objects(0, 1)]);
    const disable = (value: number) => {
      const names = ["all", "lo"].map((name) => `net.ipv6.conf.${name}.disable_ipv6=${value}`);
      return runAsync([...inNamespace(node.name), "sysctl", "-qw", ...names]);
    };
    await disable(1);
    try {
      start(`--manifests=${manifests}`, `--healthz-bind-address=${wildcard}:10256`);
      expect((await answered("/healthz", 10256)).status).toBe(200);
    } finally {
      await disable(0);
    }
  });

  test("serves requests while idle clients hold connections, with few file descriptors", async () => {
    prepare();
    put("one.json", [...objects(0, 1)]);
    const log = join(folder, "log");
    const limited = ["prlimit", "--nofile=40", BINARY, "--metrics-bind-address=0.0.0.0"];
    daemon = startDaemon(node.name, [...limited, `--manifests=${manifests}`], log);
    expect((await answered("/healthz", 10256)).status).toBe(200);
    const idle = [10256, 10249].flatMap((port) =>
      Array.from({ length: 100 }, () => connect(port, node.address).on("error", () => {})),
    );
    let closed = 0;
    for (const socket of idle) socket.on("close", () => closed++);
    try {
      await until("most are closed", () => closed > 180, { limitMs: GIVE_UP_MS });
      for (const port of [10256, 10249]) expect((await get("/healthz", port)).status).toBe(200);
      put("two.json", [...objects(1, 2)]);
      await until("a change is programmed", async () => {
        return sample(await scrape(), 'sluice_elements{table="frontends"}') === 2;
      });
    } finally {
      for (const socket of idle) socket.destroy();
    }
  });

  test("serves a healthCheckNodePort once the port is free, without another change", async () => {
    prepare();
    const [service, slice] = [...objects(0, 1)];
    const port = 32_123;
    const local = {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      healthCheckNodePort: port,
      ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 30_080 }],
    };
    const clusterIPs = { clusterIP: "10.96.0.0", clusterIPs: ["10.96.0.0"] };
    put("one.json", [{ ...service, spec: { ...clusterIPs, ...local } }, { ...slice }]);
    const serving = `Bun.serve({ hostname: "0.0.0.0", port: ${port}, fetch: () => new Response("taken") })`;
    const other = startDaemon(node.name, [process.execPath, "-e", serving], join(folder, "other"));
    try {
      expect(await (await answered("/", port)).text()).toBe("taken");
      start(`--manifests=${manifests}`);
      expect((await answered("/healthz", 10256)).status).toBe(200);
      await logged(`:${port}: address already in use`);
    } finally {
      await other.stop("SIGKILL");
    }
    expect(await (await answered("/", port)).json()).toMatchObject({ localEndpoints: 0 });
  }, 60_000);

  test("answers complete scrapes while it programs thousands of Services", async () => {
    prepare();
    put("one.json", [...objects(0, 1)]);
    start(`--manifests=${manifests}`);
    expect((await answered("/healthz", 10256)).status).toBe(200);
    const names = (await scrape()).map(({ name }) => name);
    put("many.json", [...objects(1, SERVICES)]);
    const until = performance.now() + GIVE_UP_MS;
    const programmed = async () => {
      for (;;) {
        const printed = await scrape();
        expect(printed.map(({ name }) => name)).toEqual(names);
        const elements = sample(printed, 'sluice_elements{table="frontends"}');
        if (elements === SERVICES) return printed;
        if (performance.now() > until) throw new Error(`only ${elements} Services are programmed`);
      }
    };
    // Three scrapers in parallel: some scrapes meet the reading, some the programming.
    const [last] = await Promise.all([programmed(), programmed(), programmed()]);
    expect(sample(last, 'sluice_syncs_total{outcome="failed"}')).toBe(0);
    expect(sample(last, "sluice_connection_readings_failed_total")).toBe(0);
    expect((await get("/healthz", 10256)).status).toBe(200);
  }, 120_000);
});

function sample(printed: readonly PrintedMetric[], series: string): number {
  const lines = printed.flatMap(({ samples }) => samples);
  const line = lines.find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length));
}

/** Yields a Service and its EndpointSlice for each number. */
function* objects(from: number, to: number): Generator<object> {
  for (let number = from; number < to; number++) {
    const name = `service-${number}`;
    const host = `${number >> 8}.${number & 255}`;
    yield {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "default" },
      spec: {
        type: "ClusterIP",
        clusterIP: `10.96.${host}`,
        clusterIPs: [`10.96.${host}`],
        ipFamilies: ["IPv4"],
        ports: [{ name: "http", protocol: "TCP", port: 80 }],
      },
    };
    yield {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name,
        namespace: "default",
        labels: { "kubernetes.io/service-name": name },
      },
      addressType: "IPv4",
      ports: [{ name: "http", protocol: "TCP", port: 8080 }],
      endpoints: [1, 2].map((each) => ({
        addresses: [`10.${each}.${host}`],
        conditions: { ready: true },
      })),
    };
  }
}
