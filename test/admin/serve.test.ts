import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { RecordedProblems } from "../../harness/fakes/recorded-problems.ts";
import { until } from "../../harness/waiting.ts";
import { ClientConnections } from "../../src/admin/client-connections.ts";
import { HealthCheckNodePorts } from "../../src/admin/health-check-node-ports.ts";
import { bindServer } from "../../src/admin/http-server.ts";
import { type HttpListener, listenWithRetry } from "../../src/admin/serve.ts";
import { systemClock } from "../../src/base/clock.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { createLogger } from "../../src/base/log.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const OK = () => new Response("ok");

const connections = new ClientConnections(systemClock);

/** Occupies a free port of this machine. */
async function occupy(): Promise<{ readonly port: number; free(): Promise<void> }> {
  const { port, close: free } = await bindServer("127.0.0.1", 0, OK, connections);
  closing.push(free);
  return { port, free };
}

async function freePort(): Promise<number> {
  const { port, free } = await occupy();
  await free();
  return port;
}

function logTo(lines: string[]) {
  const write = (line: string) => lines.push(line);
  return createLogger({ verbosity: 0, format: "text", now: () => 0, write, pid: 1 });
}

describe("listening", () => {
  const reported = new RecordedProblems();
  const clock = new FakeClock();
  const lines: string[] = [];
  const failures: unknown[] = [];
  let giveUp: boolean;
  beforeEach(() => {
    reported.events.length = 0;
    lines.length = 0;
    failures.length = 0;
    giveUp = false;
  });

  async function start(port: number): Promise<HttpListener> {
    const listener = listenWithRetry({
      name: "metrics",
      field: "metricsBindAddress",
      hostname: "127.0.0.1",
      port,
      fetch: OK,
      connections,
      clock,
      log: logTo(lines),
      problems: reported.report,
      onFailed(error) {
        failures.push(error instanceof SluiceError ? error.code : error);
        return giveUp;
      },
    });
    closing.push(() => listener.close());
    await listener.attempted;
    return listener;
  }

  test("answers on the port", async () => {
    const listener = await start(0);
    const response = await fetch(`http://127.0.0.1:${listener.port()}/`);
    expect(await response.text()).toBe("ok");
    expect([reported.events, failures]).toEqual([[], []]);
  });

  test("waits for a port in use, and reports one problem until then", async () => {
    const { port, free } = await occupy();
    const about = { subject: `127.0.0.1:${port}`, code: "LISTEN_FAILED" } as const;
    const listener = await start(port);
    await clock.advance(5000);
    expect(listener.port()).toBeUndefined();
    // The receiver of the problem logs it.
    expect(lines).toEqual([]);
    const message = `listen 127.0.0.1:${port}: address already in use (retrying every 5 s)`;
    expect(reported.events).toMatchObject([
      { begin: { ...about, field: "metricsBindAddress", message } },
    ]);
    expect(failures).toEqual(["LISTEN_FAILED"]);
    await free();
    await until("bound", () => listener.port() === port, { clock });
    expect(lines[0]).toContain("] Listening server=");
    expect(reported.events[1]).toMatchObject({ end: about });
  });

  test("resolves its problem when it is closed", async () => {
    const { port } = await occupy();
    const listener = await start(port);
    await listener.close();
    expect(reported.events.map((event) => Object.keys(event)[0])).toEqual(["begin", "end"]);
    expect(clock.waiting).toBe(0);
  });

  test("joins its hint to the one of an address that the node does not have", async () => {
    const listener = listenWithRetry({
      name: "metrics",
      field: "metricsBindAddress",
      hostname: "192.0.2.1",
      port: 80,
      fetch: OK,
      connections,
      clock,
      log: logTo(lines),
      problems: reported.report,
      onFailed: () => false,
    });
    closing.push(() => listener.close());
    await listener.attempted;
    const message =
      "listen 192.0.2.1:80: cannot assign requested address (this node does not have it; retrying every 5 s)";
    expect(reported.events).toMatchObject([{ begin: { message } }]);
  });

  test("gives up at once if the caller asks for it", async () => {
    const { port } = await occupy();
    giveUp = true;
    await start(port);
    expect([failures, clock.waiting, lines]).toEqual([["LISTEN_FAILED"], 0, []]);
    const message = `listen 127.0.0.1:${port}: address already in use`;
    expect(reported.events).toMatchObject([{ begin: { message } }]);
  });
});

describe("health check node ports", () => {
  const web = { namespace: "default", name: "web" };
  let reported: RecordedProblems;
  let failed: string[];
  let healthy = true;
  let clock: FakeClock;

  function nodePorts(): HealthCheckNodePorts {
    reported = new RecordedProblems();
    failed = [];
    healthy = true;
    clock = new FakeClock();
    const checks = new HealthCheckNodePorts({
      addresses: () => ["127.0.0.1"],
      healthy: () => healthy,
      clock,
      problems: (events) => reported.report(events),
      onFailed: ({ namespace, name, port }) => failed.push(`${namespace}/${name} ${port}`),
    });
    closing.push(() => checks.close());
    return checks;
  }

  test("answer like kube-proxy, byte for byte", async () => {
    const port = await freePort();
    await nodePorts().update([{ ...web, port, localEndpoints: 2 }]);
    const response = await fetch(`http://127.0.0.1:${port}/any/path`, { method: "POST" });
    expect(response.status).toBe(200);
    expect(response.headers.get("Content-Type")).toBe("application/json");
    expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
    expect(response.headers.get("X-Load-Balancing-Endpoint-Weight")).toBe("2");
    expect(await response.text()).toBe(
      '{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}',
    );
  });

  test("answer 503 without a local endpoint, and while the proxy is unhealthy", async () => {
    const port = await freePort();
    const checks = nodePorts();
    const status = async () => (await fetch(`http://127.0.0.1:${port}/`)).status;
    await checks.update([{ ...web, port, localEndpoints: 0 }]);
    expect(await status()).toBe(503);
    await checks.update([{ ...web, port, localEndpoints: 1 }]);
    expect(await status()).toBe(200);
    healthy = false;
    expect(await status()).toBe(503);
  });

  test("close when the Service is deleted, and move when its port changes", async () => {
    const [first, second] = [await freePort(), await freePort()];
    const checks = nodePorts();
    await checks.update([{ ...web, port: first, localEndpoints: 1 }]);
    await checks.update([{ ...web, port: second, localEndpoints: 1 }]);
    await expect(fetch(`http://127.0.0.1:${first}/`)).rejects.toThrow();
    expect((await fetch(`http://127.0.0.1:${second}/`)).status).toBe(200);
    await checks.update([]);
    await expect(fetch(`http://127.0.0.1:${second}/`)).rejects.toThrow();
  });

  test("that cannot be bound are a problem until a later sync succeeds", async () => {
    const { port, free } = await occupy();
    const checks = nodePorts();
    await checks.update([{ ...web, port, localEndpoints: 1 }]);
    expect(reported.begun).toMatchObject([
      {
        subject: "Service default/web",
        code: "LISTEN_FAILED",
        field: "spec.healthCheckNodePort",
        message: expect.stringContaining(`:${port}: address already in use (retrying every 5 s)`),
      },
    ]);
    await checks.update([{ ...web, port, localEndpoints: 1 }]);
    expect(failed).toEqual([`default/web ${port}`, `default/web ${port}`]);
    await free();
    await checks.update([{ ...web, port, localEndpoints: 1 }]);
    expect(reported.ended).toEqual([
      { subject: "Service default/web", code: "LISTEN_FAILED", field: "spec.healthCheckNodePort" },
    ]);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
  });

  test("that cannot be bound are retried every 5 s without a sync", async () => {
    const { port, free } = await occupy();
    await nodePorts().update([{ ...web, port, localEndpoints: 1 }]);
    await clock.advance(5000);
    await until("tried twice", () => failed.length === 2);
    await free();
    await clock.advance(4999);
    expect(reported.ended).toEqual([]);
    await clock.advance(1);
    await until("bound", () => reported.ended.length === 1);
    expect(clock.waiting).toBe(0);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
  });

  test("that cannot be bound resolve their problem when the Service is deleted", async () => {
    const { port } = await occupy();
    const checks = nodePorts();
    await checks.update([{ ...web, port, localEndpoints: 1 }]);
    await checks.update([]);
    expect(reported.events.map((event) => Object.keys(event)[0])).toEqual(["begin", "end"]);
    expect(clock.waiting).toBe(0);
  });

  test("listen on :: also for IPv4", async () => {
    const port = await freePort();
    const checks = new HealthCheckNodePorts({
      addresses: () => ["::"],
      healthy: () => true,
      clock: new FakeClock(),
      problems: unexpectedError,
      onFailed: unexpectedError,
    });
    closing.push(() => checks.close());
    await checks.update([{ ...web, port, localEndpoints: 1 }]);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
  });
});
