import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { RecordedProblems } from "../../harness/fakes/recorded-problems.ts";
import { HealthCheckNodePorts } from "../../src/admin/health-check-node-ports.ts";
import { bindServer, type HttpListener, listenWithRetry } from "../../src/admin/serve.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { createLogger } from "../../src/base/log.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const OK = () => new Response("ok");

/** Occupies a free port of this machine. */
function occupy(): { readonly port: number; free(): Promise<void> } {
  const server = bindServer("127.0.0.1", 0, OK);
  const free = () => server.stop(true);
  closing.push(free);
  return { port: server.port as number, free };
}

async function freePort(): Promise<number> {
  const { port, free } = occupy();
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

  function start(port: number): HttpListener {
    const listener = listenWithRetry({
      name: "metrics",
      field: "metricsBindAddress",
      hostname: "127.0.0.1",
      port,
      fetch: OK,
      clock,
      log: logTo(lines),
      problems: reported.report,
      onFailed(error) {
        failures.push(error instanceof SluiceError ? error.code : error);
        return giveUp;
      },
    });
    closing.push(() => listener.close());
    return listener;
  }

  test("answers on the port", async () => {
    const listener = start(0);
    const response = await fetch(`http://127.0.0.1:${listener.port()}/`);
    expect(await response.text()).toBe("ok");
    expect([reported.events, failures]).toEqual([[], []]);
  });

  test("waits for a port in use, and reports one problem until then", async () => {
    const { port, free } = occupy();
    const about = { subject: `127.0.0.1:${port}`, code: "LISTEN_FAILED" } as const;
    const listener = start(port);
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
    await clock.advance(4999);
    expect(listener.port()).toBeUndefined();
    await clock.advance(1);
    expect(listener.port()).toBe(port);
    expect(lines[0]).toContain("] Listening server=");
    expect(reported.events[1]).toMatchObject({ end: about });
  });

  test("resolves its problem when it is closed", async () => {
    const { port } = occupy();
    const listener = start(port);
    await listener.close();
    expect(reported.events.map((event) => Object.keys(event)[0])).toEqual(["begin", "end"]);
    expect(clock.waiting).toBe(0);
  });

  test("joins its hint to the one of an address that the node does not have", async () => {
    closing.push(() => listener.close());
    const listener = listenWithRetry({
      name: "metrics",
      field: "metricsBindAddress",
      hostname: "192.0.2.1",
      port: 80,
      fetch: OK,
      clock,
      log: logTo(lines),
      problems: reported.report,
      onFailed: () => false,
    });
    const message =
      "listen 192.0.2.1:80: cannot assign requested address (this node does not have it; retrying every 5 s)";
    expect(reported.events).toMatchObject([{ begin: { message } }]);
  });

  test("gives up at once if the caller asks for it", () => {
    const { port } = occupy();
    giveUp = true;
    start(port);
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
    nodePorts().update([{ ...web, port, localEndpoints: 2 }]);
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
    checks.update([{ ...web, port, localEndpoints: 0 }]);
    expect(await status()).toBe(503);
    checks.update([{ ...web, port, localEndpoints: 1 }]);
    expect(await status()).toBe(200);
    healthy = false;
    expect(await status()).toBe(503);
  });

  test("close when the Service is deleted, and move when its port changes", async () => {
    const [first, second] = [await freePort(), await freePort()];
    const checks = nodePorts();
    checks.update([{ ...web, port: first, localEndpoints: 1 }]);
    checks.update([{ ...web, port: second, localEndpoints: 1 }]);
    await expect(fetch(`http://127.0.0.1:${first}/`)).rejects.toThrow();
    expect((await fetch(`http://127.0.0.1:${second}/`)).status).toBe(200);
    checks.update([]);
    await expect(fetch(`http://127.0.0.1:${second}/`)).rejects.toThrow();
  });

  test("that cannot be bound are a problem until a later sync succeeds", async () => {
    const { port, free } = occupy();
    const checks = nodePorts();
    checks.update([{ ...web, port, localEndpoints: 1 }]);
    expect(reported.begun).toMatchObject([
      {
        subject: "Service default/web",
        code: "LISTEN_FAILED",
        field: "spec.healthCheckNodePort",
        message: expect.stringContaining(`:${port}: address already in use (retrying every 5 s)`),
      },
    ]);
    checks.update([{ ...web, port, localEndpoints: 1 }]);
    expect(failed).toEqual([`default/web ${port}`, `default/web ${port}`]);
    await free();
    checks.update([{ ...web, port, localEndpoints: 1 }]);
    expect(reported.ended).toEqual([
      { subject: "Service default/web", code: "LISTEN_FAILED", field: "spec.healthCheckNodePort" },
    ]);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
  });

  test("that cannot be bound are retried every 5 s without a sync", async () => {
    const { port, free } = occupy();
    nodePorts().update([{ ...web, port, localEndpoints: 1 }]);
    await clock.advance(5000);
    expect(failed).toHaveLength(2);
    await free();
    await clock.advance(4999);
    expect(reported.ended).toEqual([]);
    await clock.advance(1);
    expect(reported.ended).toHaveLength(1);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
    expect(clock.waiting).toBe(0);
  });

  test("that cannot be bound resolve their problem when the Service is deleted", () => {
    const { port } = occupy();
    const checks = nodePorts();
    checks.update([{ ...web, port, localEndpoints: 1 }]);
    checks.update([]);
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
    checks.update([{ ...web, port, localEndpoints: 1 }]);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
  });
});
