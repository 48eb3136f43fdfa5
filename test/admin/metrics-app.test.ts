import { describe, expect, test } from "bun:test";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { viewWith } from "../../harness/fakes/fake-view.ts";
import { resolveArgs } from "../../harness/resolve-config.ts";
import { createAdminApp, createMetricsApp } from "../../src/admin/metrics-app.ts";
import { SliMetrics } from "../../src/observe/component-metrics.ts";
import { expose } from "../../src/observe/exposition.ts";
import type { ProxyView } from "../../src/observe/view.ts";

function appOf(view: ProxyView, onError: (error: unknown) => void = unexpectedError) {
  const slis = new SliMetrics(0);
  const exposeSlis = () => expose(slis.instruments());
  return createMetricsApp({ view, slis, exposeSlis, setVerbosity: unexpectedError, onError });
}

const app = appOf(viewWith());

describe("kube-proxy's own paths", () => {
  test.each([
    ["/healthz", "ok"],
    ["/healthz/ping", "ok"],
    ["/healthz?verbose", "[+]ping ok\nhealthz check passed\n"],
    ["/healthz?verbose=1", "[+]ping ok\nhealthz check passed\n"],
    ["/healthz/ping?verbose", "ok"],
    ["/healthz?exclude=ping", "ok"],
    ["/healthz?exclude=ping&verbose", "[+]ping excluded: ok\nhealthz check passed\n"],
    [
      "/healthz?exclude=x&verbose",
      '[+]ping ok\nwarn: some health checks cannot be excluded: no matches for "x"\nhealthz check passed\n',
    ],
    ["/proxyMode", "nftables"],
    ["/metrics", "sluice_services 1\n"],
  ])("%s", async (path, body) => {
    const response = await app.request(path);
    expect(response.status).toBe(200);
    expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
    expect(response.headers.get("Content-Type")).toStartWith("text/plain");
    expect(await response.text()).toBe(body);
  });

  test.each(["/healthz", "/proxyMode", "/configz", "/metrics", "/flagz", "/statusz"])(
    "%s answers any method, as in kube-proxy",
    async (path) => {
      for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
        expect((await app.request(path, { method })).status).toBe(200);
      }
    },
  );

  test.each(["/livez", "/healthz/", "/nope", "/debug/flags/v", "/debug/pprof/"])(
    "%s does not exist",
    async (path) => {
      const response = await app.request(path);
      expect(response.status).toBe(404);
      expect(await response.text()).toStartWith("404 page not found\n");
    },
  );

  test("/configz has kube-proxy's configuration, and our own next to it", async () => {
    const response = await app.request("/configz");
    expect(response.headers.get("Content-Type")).toBe("application/json");
    const text = await response.text();
    expect(text).toStartWith('{"kubeproxy.config.k8s.io":{');
    expect(JSON.parse(text)).toMatchObject({
      "kubeproxy.config.k8s.io": {
        kind: "KubeProxyConfiguration",
        mode: "nftables",
        clusterCIDR: "10.0.0.0/8",
      },
      sluice: { counters: true, manifests: "", endpointMetricsLimit: 10_000 },
    });
  });

  test("the mode is the active one, also in /configz if the configuration says auto", async () => {
    const own = appOf(viewWith({ mode: "iptables" }));
    expect(await (await own.request("/proxyMode")).text()).toBe("iptables");
    const { "kubeproxy.config.k8s.io": document } = JSON.parse(
      await (await own.request("/configz")).text(),
    );
    expect(document.mode).toBe("iptables");
  });

  test("a header of /metrics shows a restart", async () => {
    const response = await app.request("/metrics");
    expect(response.headers.get("Process-Start-Time-Unix")).toBe("1795520340");
  });

  test("/metrics/slis counts checks that were not excluded, and DELETE resets them", async () => {
    const own = appOf(viewWith());
    const slis = async () => (await own.request("/metrics/slis")).text();
    for (const path of ["/healthz", "/healthz?verbose", "/healthz?exclude=ping", "/healthz/ping"])
      await own.request(path);
    expect(await slis()).toContain(
      'kubernetes_healthchecks_total{name="ping",type="healthz",status="success"} 2\n',
    );
    const reset = await own.request("/metrics/slis", { method: "DELETE" });
    expect([reset.status, await reset.text()]).toEqual([200, "metrics reset\n"]);
    expect(await slis()).not.toContain("kubernetes_healthchecks_total{");
  });
});

describe("the admin API", () => {
  test("shows the state", async () => {
    const response = await app.request("/sluice/v1/state");
    expect(await response.json()).toEqual({
      version: "0.2.0",
      startedAt: "2026-11-24T11:39:00.000Z",
      now: "2026-11-24T11:40:00.000Z",
      node: { name: "node-1", eligible: true },
      healthy: true,
      lastUpdated: "2026-11-24T11:39:55.000Z",
      queuedSince: null,
      sources: [
        {
          name: "https://api:6443",
          synced: true,
          connected: true,
          lastError: "",
          lastEventAt: "2026-11-24T11:39:59.000Z",
        },
      ],
      lastSync: {
        at: "2026-11-24T11:39:55.000Z",
        outcome: "done",
        owners: 1,
        operations: 4,
        transactions: 1,
        bytes: 400,
        kernelMs: 0.1,
        durationMs: 0.5,
        error: null,
      },
      counts: {
        services: 1,
        slices: 1,
        endpoints: 2,
        elements: { frontends: 1 },
        coreBytes: 65536,
        noLocalEndpoints: [],
      },
      problems: 1,
      notices: [],
    });
  });

  test("shows the state before the first sync", async () => {
    const early = appOf(
      viewWith({
        lastSync: () => undefined,
        health: () => ({ healthy: false, lastUpdated: undefined, queuedSince: 0 }),
      }),
    );
    const response = await early.request("/sluice/v1/state");
    expect(await response.json()).toMatchObject({
      lastUpdated: null,
      lastSync: null,
      queuedSince: "1970-01-01T00:00:00.000Z",
    });
  });

  test("shows the problems", async () => {
    const response = await app.request("/sluice/v1/problems");
    expect(await response.json()).toMatchObject({ problems: [{ code: "FRONTEND_TAKEN" }] });
  });

  test("shows one Service", async () => {
    const response = await app.request("/sluice/v1/services/default/web");
    expect(await response.json()).toMatchObject({ name: "web", exists: true });
  });

  test("answers 404 for an unknown Service", async () => {
    const response = await app.request("/sluice/v1/services/default/absent");
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({ error: "Service default/absent not found" });
  });
});

test.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])(
  "%s of /sluice/v1 is rejected",
  async (method) => {
    const response = await app.request("/sluice/v1/state", { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("Allow")).toBe("GET, HEAD");
  },
);

test.each(["/metrics", "/healthz", "/flagz", "/sluice/v1/state"])(
  "HEAD of %s answers like GET without a body",
  async (path) => {
    const response = await app.request(path, { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
  },
);

test("an unknown path lists the routes", async () => {
  const response = await app.request("/");
  expect(response.status).toBe(404);
  expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
  expect(await response.text()).toContain("/sluice/v1/state\n");
});

describe("with a separate address, our paths", () => {
  const own = viewWith();
  const view = viewWith({
    config: () => ({ ...own.config(), adminBindAddress: "127.0.0.1:10250" }),
  });

  test("are not on the metrics address", async () => {
    for (const path of ["/sluice/v1/state", "/sluice/v1/services/default/web"]) {
      const response = await appOf(view).request(path);
      expect(response.status).toBe(404);
      expect(await response.text()).not.toContain("/sluice");
    }
    expect((await appOf(view).request("/metrics")).status).toBe(200);
  });

  test("are the only ones there", async () => {
    const admin = createAdminApp(view, unexpectedError);
    expect((await admin.request("/sluice/v1/state")).status).toBe(200);
    expect((await admin.request("/metrics")).status).toBe(404);
    expect((await admin.request("/sluice/v1/state", { method: "POST" })).status).toBe(405);
  });

  test("stay on the metrics address if both are the same", async () => {
    const { metricsBindAddress: adminBindAddress } = own.config();
    const same = viewWith({ config: () => ({ ...own.config(), adminBindAddress }) });
    expect((await appOf(same).request("/sluice/v1/state")).status).toBe(200);
  });
});

test("the configuration is read at each request", async () => {
  let { config } = await resolveArgs(["--cluster-cidr=10.0.0.0/8"]);
  const changing = appOf(viewWith({ config: () => config }));
  const status = async () => (await changing.request("/debug/flags")).status;
  expect(await status()).toBe(404);
  config = { ...config, profiling: true };
  expect(await status()).toBe(200);
  expect(await (await changing.request("/nope")).text()).toContain("/debug/flags");
});

test("an exception is answered with 500, and reported", async () => {
  const received: unknown[] = [];
  const broken = appOf(
    viewWith({
      problems() {
        throw new Error("broken");
      },
    }),
    (error) => received.push(error),
  );
  const response = await broken.request("/sluice/v1/problems");
  expect(response.status).toBe(500);
  expect(await response.json()).toEqual({ error: "broken" });
  expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
  expect(received).toHaveLength(1);
});
