import { expect, test } from "bun:test";
import { bind } from "../../src/admin/serve.ts";
import { startAdmin } from "../../src/admin/start.ts";
import { createLogger } from "../../src/log.ts";
import { HealthChecks } from "../../src/observe/health-checks.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { resolve } from "../config/config.ts";
import { FakeClock } from "../sync/fake-clock.ts";
import { unexpected, viewWith } from "./view.ts";

async function freePort(): Promise<number> {
  const server = bind("127.0.0.1", 0, () => new Response());
  const port = server.port as number;
  await server.stop(true);
  return port;
}

test("both servers answer where the configuration says, until they are closed", async () => {
  const [health, metrics] = [await freePort(), await freePort()];
  const { config } = await resolve([
    `--healthz-bind-address=127.0.0.1:${health}`,
    `--metrics-bind-address=127.0.0.1:${metrics}`,
  ]);
  const admin = startAdmin({
    view: viewWith({ config: () => config }),
    metrics: new Metrics(0),
    healthChecks: new HealthChecks(),
    nodePortAddresses: () => ["127.0.0.1"],
    problems: unexpected,
    clock: new FakeClock(),
    log: createLogger({ verbosity: 0, format: "text", now: () => 0, write: unexpected, pid: 1 }),
    onFatal: unexpected,
  });
  const live = await fetch(`http://127.0.0.1:${health}/livez`);
  expect(live.status).toBe(200);
  expect(live.headers.get("Content-Type")).toBe("application/json");
  const mode = await fetch(`http://127.0.0.1:${metrics}/proxyMode`);
  expect(mode.headers.get("Content-Type")).toBe("text/plain; charset=utf-8");
  expect(await mode.text()).toBe("nftables");
  await admin.close();
  await expect(fetch(`http://127.0.0.1:${health}/livez`)).rejects.toThrow();
});
