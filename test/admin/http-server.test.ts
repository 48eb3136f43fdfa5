/** Tests requests and answers on real sockets. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { gunzipSync } from "node:zlib";
import { viewWith } from "../../harness/fakes/fake-view.ts";
import { until } from "../../harness/waiting.ts";
import { ClientConnections } from "../../src/admin/client-connections.ts";
import { createHealthApp } from "../../src/admin/health-app.ts";
import { bindFamilies, bindServer, type HttpServer } from "../../src/admin/http-server.ts";
import { createMetricsApp } from "../../src/admin/metrics-app.ts";
import { systemClock } from "../../src/base/clock.ts";
import { SliMetrics } from "../../src/observe/component-metrics.ts";
import { expose } from "../../src/observe/exposition.ts";

const CONNECTIONS_MAX = 4;
const slis = new SliMetrics(0);
const text = `# ${"a long comment ".repeat(1000)}\n`;
const view = viewWith({ metrics: async () => ({ contentType: "text/plain", body: text }) });
const onError = (error: unknown) => {
  throw error;
};
const apps = {
  health: createHealthApp(view, () => {}, onError),
  metrics: createMetricsApp({
    view,
    slis,
    exposeSlis: () => expose(slis.instruments()),
    setVerbosity: () => {},
    onError,
  }),
};
let servers: { readonly [name in keyof typeof apps]: HttpServer };
const connections = new ClientConnections(systemClock, CONNECTIONS_MAX);
beforeAll(async () => {
  const bind = (name: keyof typeof apps) => bindServer("0.0.0.0", 0, apps[name].fetch, connections);
  servers = { health: await bind("health"), metrics: await bind("metrics") };
});
afterAll(async () => {
  for (const server of Object.values(servers)) await server.close();
});

interface RawAnswer {
  readonly status: string;
  readonly headers: { readonly [name: string]: string };
  readonly body: Buffer;
}

/** Sends bytes, and reads until the server closes the connection. */
function send(port: number, bytes: string | Buffer, host = "127.0.0.1"): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write(bytes));
    const parts: Buffer[] = [];
    socket.on("data", (data: Buffer) => parts.push(data));
    socket.on("error", reject);
    socket.on("close", () => {
      const all = Buffer.concat(parts);
      const end = all.indexOf("\r\n\r\n");
      const [status = "", ...lines] = all.subarray(0, end).toString().split("\r\n");
      const pairs = lines.map((line) => line.split(": "));
      const headers = Object.fromEntries(pairs.map(([k = "", v = ""]) => [k.toLowerCase(), v]));
      resolve({ status, headers, body: all.subarray(end + 4) });
    });
  });
}

const END = "Host: node\r\nConnection: close\r\n\r\n";

test.each([
  ["metrics", "/metrics"],
  ["metrics", "/metrics/slis"],
  ["metrics", "/healthz"],
  ["metrics", "/sluice/v1/state"],
  ["metrics", "/nope"],
  ["health", "/healthz"],
  ["health", "/livez"],
] as const)("HEAD has the headers of GET, and no body: %s %s", async (name, path) => {
  const { port } = servers[name];
  for (const accepted of ["", "Accept-Encoding: gzip\r\n"]) {
    const get = await send(port, `GET ${path} HTTP/1.1\r\n${accepted}${END}`);
    const head = await send(port, `HEAD ${path} HTTP/1.1\r\n${accepted}${END}`);
    expect(get.body.length).toBe(Number(get.headers["content-length"]));
    expect(head.body.length).toBe(0);
    expect(head.status).toBe(get.status);
    const timeless = ({ date: _, "content-length": length, ...others }: RawAnswer["headers"]) => {
      // Times differ in the body, but not in its length.
      return path.includes("state") ? others : { ...others, length };
    };
    expect(timeless(head.headers)).toEqual(timeless(get.headers));
  }
});

test("/metrics is compressed if the client prefers that", async () => {
  const { port } = servers.metrics;
  const plain = await send(port, `GET /metrics HTTP/1.1\r\n${END}`);
  expect(plain.headers).not.toContainKey("content-encoding");
  expect(plain.body.toString()).toBe(text);
  const packed = await send(port, `GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip\r\n${END}`);
  expect(packed.headers).toMatchObject({
    "content-encoding": "gzip",
    "content-type": "text/plain",
    "content-length": String(packed.body.length),
  });
  expect(packed.body.length).toBeLessThan(text.length / 10);
  expect(gunzipSync(packed.body).toString()).toBe(text);
  const health = await send(
    servers.health.port,
    `GET /livez HTTP/1.1\r\nAccept-Encoding: gzip\r\n${END}`,
  );
  expect(health.headers).not.toContainKey("content-encoding");
});

test.each([3, 2000, 100_000, 1_000_000])("a POST with %d bytes is answered", async (length) => {
  const head = `POST /healthz HTTP/1.1\r\nContent-Length: ${length}\r\n${END}`;
  for (const { port } of Object.values(servers)) {
    const answer = await send(port, Buffer.concat([Buffer.from(head), Buffer.alloc(length, 97)]));
    expect(answer.status).toBe("HTTP/1.1 200 OK");
  }
});

test("a chunked POST is answered, and the connection stays usable", async () => {
  const chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  const first = `POST /healthz HTTP/1.1\r\nHost: node\r\n${chunked}`;
  const { body } = await send(servers.metrics.port, `${first}GET /proxyMode HTTP/1.1\r\n${END}`);
  expect(body.toString()).toContain("HTTP/1.1 200 OK");
  expect(body.toString()).toEndWith("nftables");
});

test("a wildcard of IPv4 listens on IPv6 too", async () => {
  for (const host of ["127.0.0.1", "::1"]) {
    const { status } = await send(servers.health.port, `GET /livez HTTP/1.1\r\n${END}`, host);
    expect(status).toBe("HTTP/1.1 200 OK");
  }
});

test.each([
  ["0.0.0.0", ["::", "0.0.0.0"]],
  ["::", ["::", "0.0.0.0"]],
  ["0:0::0", ["::", "0.0.0.0"]],
  ["127.0.0.1", ["127.0.0.1"]],
  ["::1", ["::1"]],
])("without IPv6 in the kernel, %s tries %p", async (hostname, expected) => {
  const tried: string[] = [];
  const bind = async (address: string) => {
    tried.push(address);
    if (address.includes(":")) throw new Error("Failed to listen at ::");
  };
  await bindFamilies(hostname, bind).catch(() => {});
  expect(tried).toEqual(expected);
});

test("a wildcard in use by the other family is in use", async () => {
  const other = await bindServer("::", 0, apps.health.fetch, connections);
  const binding = bindServer("0.0.0.0", other.port, apps.health.fetch, connections);
  const message = `listen 0.0.0.0:${other.port}: address already in use`;
  await expect(binding).rejects.toThrow(message);
  await other.close();
});

test("idle clients delay no request", async () => {
  const { port } = servers.health;
  const idle: Socket[] = [];
  let closed = 0;
  for (let count = 0; count < 100; count++) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.on("close", () => closed++);
    idle.push(socket);
  }
  await until("bounded", () => closed === idle.length - CONNECTIONS_MAX);
  const { status } = await send(port, `GET /livez HTTP/1.1\r\n${END}`);
  expect(status).toBe("HTTP/1.1 200 OK");
  for (const socket of idle) socket.destroy();
  await until("closed", () => connections.size === 0);
});
