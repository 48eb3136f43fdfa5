/**
 * Sends malformed requests on a real socket. Each is answered or refused, and the next client is
 * served.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { viewWith } from "../../harness/fakes/fake-view.ts";
import { ClientConnections } from "../../src/admin/client-connections.ts";
import { createHealthApp } from "../../src/admin/health-app.ts";
import { bindServer, type HttpServer } from "../../src/admin/http-server.ts";
import { createMetricsApp } from "../../src/admin/metrics-app.ts";
import { systemClock } from "../../src/base/clock.ts";
import { SliMetrics } from "../../src/observe/component-metrics.ts";
import { expose } from "../../src/observe/exposition.ts";

const defects: unknown[] = [];
const onError = (error: unknown) => defects.push(error);
const slis = new SliMetrics(0);
const own = viewWith();
const view = viewWith({ config: () => ({ ...own.config(), profiling: true }) });
const exposeSlis = () => expose(slis.instruments());
const apps = [
  createMetricsApp({ view, slis, exposeSlis, setVerbosity: onError, onError }),
  createHealthApp(view, () => {}, onError),
];
const connections = new ClientConnections(systemClock);
let servers: HttpServer[];
beforeAll(async () => {
  const binding = apps.map((app) => bindServer("127.0.0.1", 0, app.fetch, connections));
  servers = await Promise.all(binding);
});
afterAll(async () => {
  for (const server of servers) await server.close();
});

/** Returns the first line of the answer; "" if the connection was closed without one. */
function send(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.end(bytes));
    let text = "";
    socket.on("data", (data) => {
      text += data;
    });
    socket.on("error", () => resolve(""));
    socket.on("close", () => resolve(text.split("\r\n")[0] ?? ""));
  });
}

test.each([
  ["HTTP/1.0 without a Host, as HAProxy's plainest check", "GET /healthz HTTP/1.0\r\n\r\n"],
  ["an empty Host", "GET /healthz?verbose HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"],
])("a probe with %s is answered", async (_, bytes) => {
  for (const { port } of servers) expect(await send(port, bytes)).toEndWith(" 200 OK");
});

const HOST = "Host: node\r\nConnection: close\r\n";
const LONG = "a".repeat(100_000);

test.each<[string, string, RegExp]>([
  ["a long path", `GET /${LONG} HTTP/1.1\r\n${HOST}\r\n`, /^(|HTTP\/1.1 4\d\d .*)$/],
  ["a long header", `GET /livez HTTP/1.1\r\nX: ${LONG}\r\n${HOST}\r\n`, /^(|HTTP\/1.1 4\d\d .*)$/],
  ["a bad escape", `GET /sluice/v1/services/%ff/%zz HTTP/1.1\r\n${HOST}\r\n`, / 404 /],
  ["half an escape", `GET /healthz% HTTP/1.1\r\n${HOST}\r\n`, / 404 /],
  ["a bad query", `GET /metrics?%&=%zz&exclude=%ff HTTP/1.1\r\n${HOST}\r\n`, / (200|404) /],
  ["a path traversal", `GET /healthz/../../etc/passwd HTTP/1.1\r\n${HOST}\r\n`, / 404 /],
  ["another host's URL", `GET http://other/sluice HTTP/1.1\r\n${HOST}\r\n`, / 404 /],
  ["an unexpected body", `POST /nope HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\nabc`, / 404 /],
  [
    "a body that is too long",
    `PUT /debug/flags/v HTTP/1.1\r\n${HOST}Content-Length: 100000\r\n\r\n${LONG}`,
    / 40[04] /,
  ],
  ["an unknown method", `FLY /livez HTTP/1.1\r\n${HOST}\r\n`, /^(|HTTP\/1.1 .*)$/],
  [
    "bytes that are not HTTP",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    /^(|HTTP\/1.1 400 .*)$/,
  ],
  ["half a request", "GET /liv", /^(|HTTP\/1.1 400 .*)$/],
])("%s", async (_, bytes, answer) => {
  for (const { port } of servers) {
    expect(await send(port, bytes)).toMatch(answer);
    const next = await send(port, `GET /healthz HTTP/1.1\r\n${HOST}\r\n`);
    expect(next).toBe("HTTP/1.1 200 OK");
  }
  expect(defects).toEqual([]);
});
