import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { viewWith } from "../../harness/fakes/fake-view.ts";
import { RecordedProblems } from "../../harness/fakes/recorded-problems.ts";
import { resolveArgs } from "../../harness/resolve-config.ts";
import { ClientConnections } from "../../src/admin/client-connections.ts";
import { bindServer, type HttpServer } from "../../src/admin/http-server.ts";
import { type RunningAdmin, startAdmin } from "../../src/admin/start.ts";
import { systemClock } from "../../src/base/clock.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { createLogger } from "../../src/base/log.ts";
import type { Config } from "../../src/config/config.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { ServiceHealth } from "../../src/observe/service-health.ts";
import type { ProxyView } from "../../src/observe/view.ts";

const connections = new ClientConnections(systemClock);
const bindLocal = (port: number) =>
  bindServer("127.0.0.1", port, () => new Response("ok"), connections);

async function freePort(): Promise<number> {
  const server = await bindLocal(0);
  await server.close();
  return server.port;
}

let ports: { readonly health: number; readonly metrics: number; readonly other: number };
let config: Config;
let admin: RunningAdmin | undefined;
let received: string[];
let answered: number;
let reported: RecordedProblems;

beforeEach(async () => {
  ports = { health: await freePort(), metrics: await freePort(), other: await freePort() };
  ({ config } = await resolveArgs([
    `--healthz-bind-address=127.0.0.1:${ports.health}`,
    `--metrics-bind-address=127.0.0.1:${ports.metrics}`,
  ]));
  received = [];
  answered = 0;
  reported = new RecordedProblems();
});

afterEach(() => admin?.close());

async function start(parts: Partial<ProxyView> = {}): Promise<RunningAdmin> {
  admin = startAdmin({
    view: viewWith({ config: () => config, ...parts }),
    metrics: new Metrics(0),
    serviceHealth: new ServiceHealth(),
    nodePortAddresses: () => ["127.0.0.1"],
    problems: reported.report,
    clock: new FakeClock(),
    log: createLogger({ verbosity: 0, format: "text", now: () => 0, write: () => {}, pid: 1 }),
    onFatal: () => received.push("fatal"),
    onBindFailed: (server) => received.push(server),
    onAnswered: () => answered++,
  });
  await admin.attempted;
  return admin;
}

async function change(running: RunningAdmin, parts: Partial<Config>): Promise<void> {
  config = { ...config, ...parts };
  await running.update(config);
}

function get(port: number, path: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}${path}`, { keepalive: false });
}

test("both servers answer on the configured addresses until they are closed", async () => {
  const running = await start();
  const live = await get(ports.health, "/livez");
  expect(live.status).toBe(200);
  expect(live.headers.get("Content-Type")).toBe("application/json");
  const mode = await get(ports.metrics, "/proxyMode");
  expect(mode.headers.get("Content-Type")).toBe("text/plain; charset=utf-8");
  expect(mode.headers.get("X-Content-Type-Options")).toBe("nosniff");
  expect(await mode.text()).toBe("nftables");
  expect(answered).toBe(2);
  await running.close();
  await expect(get(ports.health, "/livez")).rejects.toThrow();
});

describe("a changed configuration", () => {
  test("moves a server with a new address, and keeps open connections to the other", async () => {
    const running = await start();
    const held = connect(ports.health, "127.0.0.1");
    const answer = new Promise<string>((done) => held.once("data", (data) => done(`${data}`)));
    const closed = new Promise<string>((done) => held.once("close", () => done("closed")));
    await new Promise((done) => held.once("connect", done));
    held.write("GET /livez HTTP/1.1\r\n");
    await change(running, { metricsBindAddress: `127.0.0.1:${ports.other}` });
    held.write("Host: node\r\n\r\n");
    expect(await Promise.race([answer, closed])).toStartWith("HTTP/1.1 200 OK");
    held.destroy();
    expect((await get(ports.other, "/proxyMode")).status).toBe(200);
    await expect(get(ports.metrics, "/proxyMode")).rejects.toThrow();
  });

  test("may swap two addresses", async () => {
    const running = await start();
    const { healthzBindAddress, metricsBindAddress } = config;
    await change(running, {
      healthzBindAddress: metricsBindAddress,
      metricsBindAddress: healthzBindAddress,
    });
    expect((await get(ports.metrics, "/livez")).status).toBe(200);
    expect((await get(ports.health, "/proxyMode")).status).toBe(200);
    expect([received, reported.events]).toEqual([[], []]);
  });

  test("sets and removes adminBindAddress, and turns health off", async () => {
    const running = await start();
    await change(running, { adminBindAddress: `127.0.0.1:${ports.other}`, healthzBindAddress: "" });
    expect((await get(ports.other, "/sluice/v1/state")).status).toBe(200);
    expect((await get(ports.metrics, "/sluice/v1/state")).status).toBe(404);
    await expect(get(ports.health, "/livez")).rejects.toThrow();
    await change(running, { adminBindAddress: "" });
    await expect(get(ports.other, "/sluice/v1/state")).rejects.toThrow();
    expect((await get(ports.metrics, "/sluice/v1/state")).status).toBe(200);
  });

  test("waits for the previous one", async () => {
    const running = await start();
    void change(running, { adminBindAddress: `127.0.0.1:${ports.other}` });
    await change(running, { adminBindAddress: "" });
    await expect(get(ports.other, "/sluice/v1/state")).rejects.toThrow();
  });
});

describe("an address in use", () => {
  let taken: HttpServer;
  beforeEach(async () => {
    taken = await bindLocal(ports.metrics);
  });
  afterEach(() => taken.close());

  test("is reported, and delays no other server", async () => {
    await start();
    expect(received).toEqual(["metrics"]);
    expect(reported.begun).toMatchObject([
      { subject: `127.0.0.1:${ports.metrics}`, code: "LISTEN_FAILED", field: "metricsBindAddress" },
    ]);
    expect((await get(ports.health, "/livez")).status).toBe(200);
  });

  test("is reported, then ends the process with bindAddressHardFail", async () => {
    config = { ...config, bindAddressHardFail: true };
    await start();
    expect(received).toEqual(["metrics", "fatal"]);
  });

  test("is replaced by another address", async () => {
    const running = await start();
    await change(running, { metricsBindAddress: `127.0.0.1:${ports.other}` });
    expect(reported.ended).toMatchObject([{ subject: `127.0.0.1:${ports.metrics}` }]);
    expect((await get(ports.other, "/proxyMode")).status).toBe(200);
  });
});

test("a core assertion in a request ends the process; another failure does not", async () => {
  let code: "CORE_ABORT" | "NETLINK_SOCKET" = "NETLINK_SOCKET";
  await start({ metrics: () => Promise.reject(new SluiceError(code, "no metrics")) });
  expect((await get(ports.metrics, "/metrics")).status).toBe(500);
  expect(received).toEqual([]);
  code = "CORE_ABORT";
  expect((await get(ports.metrics, "/metrics")).status).toBe(500);
  expect(received).toEqual(["fatal"]);
});
