import { describe, expect, test } from "bun:test";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { NOW, viewWith } from "../../harness/fakes/fake-view.ts";
import { createHealthApp } from "../../src/admin/health-app.ts";
import type { ProxyView } from "../../src/observe/view.ts";

async function ask(path: string, parts: Partial<ProxyView> = {}, method = "GET") {
  const answers: string[] = [];
  const count = (probe: string, code: number) => answers.push(`${probe} ${code}`);
  const response = await createHealthApp(viewWith(parts), count, unexpectedError).request(path, {
    method,
  });
  return { response, answers, body: await response.text() };
}

const SICK = () => ({ healthy: false, lastUpdated: NOW - 90_000, queuedSince: NOW - 80_000 });
const LEAVING = () => ({ name: "node-1", eligible: false });

test("a healthy proxy answers with kube-proxy's body and headers", async () => {
  const { response, body, answers } = await ask("/healthz");
  const now = "2026-11-24T11:40:00.000Z";
  expect(response.status).toBe(200);
  expect(response.headers.get("Content-Type")).toBe("application/json");
  expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
  // As in kube-proxy, the families keep the time of their last sync.
  const family = `{"lastUpdated":"2026-11-24T11:39:55.000Z","healthy":true}`;
  expect(body).toBe(
    `{"lastUpdated":"${now}","currentTime":"${now}","nodeEligible":true,"healthy":true,"status":{"IPv4":${family},"IPv6":${family}}}`,
  );
  expect(answers).toEqual(["healthz 200"]);
});

describe("the status", () => {
  test.each<[string, string, Partial<ProxyView>, number]>([
    ["of a proxy with changes that wait too long", "/healthz", { health: SICK }, 503],
    ["of the process of that proxy", "/livez", { health: SICK }, 503],
    ["of a node that is being deleted", "/healthz", { node: LEAVING }, 503],
    ["of the proxy on a node that is being deleted", "/livez", { node: LEAVING }, 200],
  ])("%s (%s)", async (_, path, parts, status) => {
    const { response, answers } = await ask(path, parts);
    expect(response.status).toBe(status);
    expect(answers).toEqual([`${path.slice(1)} ${status}`]);
  });
});

test("an unhealthy answer has the time of the last commit", async () => {
  const { body } = await ask("/healthz", { health: SICK });
  expect(JSON.parse(body)).toMatchObject({
    lastUpdated: "2026-11-24T11:38:30.000Z",
    currentTime: "2026-11-24T11:40:00.000Z",
    healthy: false,
    status: { IPv6: { healthy: false } },
  });
});

test("an unserved family has no status", async () => {
  const { body } = await ask("/healthz", {
    unserved: () => [{ family: 6, code: "TOOL_FAILED", reason: "no ip6tables" }],
  });
  expect(Object.keys(JSON.parse(body).status)).toEqual(["IPv4"]);
});

test("before the first commit the time is Go's zero, and no family has a status", async () => {
  const { response, body } = await ask("/livez", {
    health: () => ({ healthy: false, lastUpdated: undefined, queuedSince: undefined }),
  });
  expect(response.status).toBe(503);
  expect(JSON.parse(body).lastUpdated).toBe("0001-01-01T00:00:00Z");
  expect(Object.keys(JSON.parse(body))).toEqual(["lastUpdated", "currentTime", "healthy"]);
});

test("an unreachable API server is shown without its name, and is not unhealthy", async () => {
  const source = {
    name: "https://api:6443",
    synced: true,
    connected: false,
    lastError: "connection to https://api:6443 refused",
    lastEventAt: NOW - 1000,
  };
  const { response, body } = await ask("/healthz", { sources: () => [source] });
  expect(response.status).toBe(200);
  expect(JSON.parse(body).source).toEqual({
    connected: false,
    lastEvent: "2026-11-24T11:39:59.000Z",
  });
  expect(body).not.toContain("api:6443");
});

test("notices come last, and are not unhealthy", async () => {
  const notices = ["kube-proxy (iptables) has rules on this node"];
  const { response, body } = await ask("/healthz", { notices: () => notices });
  expect(response.status).toBe(200);
  expect(body).toEndWith(`}},"notices":["${notices[0]}"]}`);
});

test.each(["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])(
  "%s is answered and counted like GET",
  async (method) => {
    const { response, answers } = await ask("/livez", { health: SICK }, method);
    expect(response.status).toBe(503);
    expect(response.headers.get("Content-Type")).toBe("application/json");
    expect(answers).toEqual(["livez 503"]);
  },
);

test.each(["/metrics", "/", "/healthz/", "/livez/x", "/sluice/v1/state"])(
  "%s does not exist",
  async (path) => {
    const { response, body, answers } = await ask(path);
    expect(response.status).toBe(404);
    expect(response.headers.get("Content-Type")).toBe("text/plain; charset=utf-8");
    expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
    expect([body, answers]).toEqual(["404 page not found\n", []]);
  },
);
