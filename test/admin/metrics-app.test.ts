import { describe, expect, test } from "bun:test";
import { createAdminApp } from "../../src/admin/admin-app.ts";
import { unexpected, viewWith } from "./view.ts";

const app = createAdminApp(viewWith(), unexpected);

describe("kube-proxy's own paths", () => {
  test.each([
    ["/healthz", "ok"],
    ["/healthz/ping", "ok"],
    ["/healthz?verbose", "[+]ping ok\nhealthz check passed\n"],
    ["/proxyMode", "nftables"],
    ["/metrics", "sluice_services 1\n"],
  ])("%s", async (path, body) => {
    const response = await app.request(path);
    expect(response.status).toBe(200);
    expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
    expect(response.headers.get("Content-Type")).toStartWith("text/plain");
    expect(await response.text()).toBe(body);
  });

  test("/configz has the configuration in upstream's shape, and ours beside it", async () => {
    const response = await app.request("/configz");
    expect(response.headers.get("Content-Type")).toBe("application/json");
    expect(await response.json()).toMatchObject({
      "kubeproxy.config.k8s.io": {
        kind: "KubeProxyConfiguration",
        mode: "nftables",
        clusterCIDR: "10.0.0.0/8",
      },
      sluice: { counters: true, manifests: "", endpointMetricsLimit: 10_000 },
    });
  });
});

describe("the state as JSON", () => {
  test("in brief", async () => {
    const response = await app.request("/sluice/v1/state");
    expect(await response.json()).toEqual({
      version: "0.1.0",
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
    });
  });

  test("before anything happened", async () => {
    const early = createAdminApp(
      viewWith({
        lastSync: () => undefined,
        health: () => ({ healthy: false, lastUpdated: undefined, queuedSince: 0 }),
      }),
      unexpected,
    );
    const response = await early.request("/sluice/v1/state");
    expect(await response.json()).toMatchObject({
      lastUpdated: null,
      lastSync: null,
      queuedSince: "1970-01-01T00:00:00.000Z",
    });
  });

  test("of the problems", async () => {
    const response = await app.request("/sluice/v1/problems");
    expect(await response.json()).toMatchObject({ problems: [{ code: "FRONTEND_TAKEN" }] });
  });

  test("of one Service", async () => {
    const response = await app.request("/sluice/v1/services/default/web");
    expect(await response.json()).toMatchObject({ name: "web", exists: true });
  });

  test("of a Service that is not known", async () => {
    const response = await app.request("/sluice/v1/services/default/absent");
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({ error: "No Service default/absent is known" });
  });
});

test.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])("%s is refused", async (method) => {
  const response = await app.request("/metrics", { method });
  expect(response.status).toBe(405);
  expect(response.headers.get("Allow")).toBe("GET, HEAD");
});

test("HEAD is GET without a body", async () => {
  const response = await app.request("/metrics", { method: "HEAD" });
  expect(response.status).toBe(200);
  expect(await response.text()).toBe("");
});

test("an unknown path lists the routes", async () => {
  const response = await app.request("/");
  expect(response.status).toBe(404);
  expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
  expect(await response.text()).toContain("/sluice/v1/state\n");
});

test("a defect is an answer, and is heard of", async () => {
  const heard: unknown[] = [];
  const broken = createAdminApp(
    viewWith({
      problems() {
        throw new Error("broken");
      },
    }),
    (error) => heard.push(error),
  );
  const response = await broken.request("/sluice/v1/problems");
  expect(response.status).toBe(500);
  expect(await response.json()).toEqual({ error: "broken" });
  expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
  expect(heard).toHaveLength(1);
});
