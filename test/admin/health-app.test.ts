import { describe, expect, test } from "bun:test";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { NOW, viewWith } from "../../harness/fakes/fake-view.ts";
import { createHealthApp } from "../../src/admin/health-app.ts";
import type { ReadOnlyView } from "../../src/observe/view.ts";

async function ask(path: string, parts: Partial<ReadOnlyView> = {}, method = "GET") {
  const answers: string[] = [];
  const count = (probe: string, code: number) => answers.push(`${probe} ${code}`);
  const response = await createHealthApp(viewWith(parts), count, unexpectedError).request(path, {
    method,
  });
  return { response, answers, body: await response.text() };
}

const SICK = () => ({ healthy: false, lastUpdated: NOW - 90_000, queuedSince: NOW - 80_000 });
const LEAVING = () => ({ name: "node-1", eligible: false });

test("a healthy proxy answers with upstream's body and headers", async () => {
  const { response, body, answers } = await ask("/healthz");
  const now = "2026-11-24T11:40:00.000Z";
  expect(response.status).toBe(200);
  expect(response.headers.get("Content-Type")).toBe("application/json");
  expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
  // Upstream's families keep the time of their last sync even then.
  const family = `{"lastUpdated":"2026-11-24T11:39:55.000Z","healthy":true}`;
  expect(body).toBe(
    `{"lastUpdated":"${now}","currentTime":"${now}","nodeEligible":true,"healthy":true,"status":{"IPv4":${family},"IPv6":${family}}}`,
  );
  expect(answers).toEqual(["healthz 200"]);
});

describe("the status", () => {
  test.each<[string, string, Partial<ReadOnlyView>, number]>([
    ["of a proxy with changes that wait for long", "/healthz", { health: SICK }, 503],
    ["of its process", "/livez", { health: SICK }, 503],
    ["of a node that goes away", "/healthz", { node: LEAVING }, 503],
    ["of the proxy on a node that goes away", "/livez", { node: LEAVING }, 200],
  ])("%s (%s)", async (_, path, parts, status) => {
    const { response, answers } = await ask(path, parts);
    expect(response.status).toBe(status);
    expect(answers).toEqual([`${path.slice(1)} ${status}`]);
  });
});

test("a bad answer says when the last commit was", async () => {
  const { body } = await ask("/healthz", { health: SICK });
  expect(JSON.parse(body)).toMatchObject({
    lastUpdated: "2026-11-24T11:38:30.000Z",
    currentTime: "2026-11-24T11:40:00.000Z",
    healthy: false,
    status: { IPv6: { healthy: false } },
  });
});

test("a family that this node cannot serve has no status", async () => {
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

test("an API server that is away is said, is not unhealthy, and is not named", async () => {
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

test("what is to be noticed comes last, and does not make it unhealthy", async () => {
  const notices = ["rules of kube-proxy (iptables) are beside ours"];
  const { response, body } = await ask("/healthz", { notices: () => notices });
  expect(response.status).toBe(200);
  expect(body).toEndWith(`}},"notices":["${notices[0]}"]}`);
});

test.each(["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])(
  "%s is answered and counted as GET is",
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
