import { expect, test } from "bun:test";
import { RestClientMetrics, SliMetrics } from "../../src/observe/component-metrics.ts";
import { expose } from "../../src/observe/exposition.ts";

async function samplesOf(slis: SliMetrics): Promise<string[]> {
  const { body } = await expose(slis.instruments());
  return body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

test("requests are counted by status, and complete answers are measured in seconds", async () => {
  const metrics = new RestClientMetrics();
  metrics.answered("GET", "api:6443", 200);
  metrics.answered("GET", "api:6443", undefined);
  metrics.completed("GET", "api:6443", 25);
  const text = (await expose(metrics.instruments())).body.split("\n");
  const name = "rest_client_requests_total";
  expect(text).toContain(`${name}{code="200",method="GET",host="api:6443"} 1`);
  expect(text).toContain(`${name}{code="<error>",method="GET",host="api:6443"} 1`);
  const bucket = "rest_client_request_duration_seconds_bucket";
  expect(text).toContain(`${bucket}{verb="GET",host="api:6443",le="0.005"} 0`);
  expect(text).toContain(`${bucket}{verb="GET",host="api:6443",le="0.025"} 1`);
  expect(text).toContain(`${bucket}{verb="GET",host="api:6443",le="60"} 1`);
});

test("checks are counted until a reset", async () => {
  const slis = new SliMetrics(2000);
  slis.succeeded("ping", "healthz");
  slis.succeeded("ping", "healthz");
  expect(await samplesOf(slis)).toEqual([
    'kubernetes_healthcheck{name="ping",type="healthz"} 1',
    'kubernetes_healthchecks_total{name="ping",type="healthz",status="success"} 2',
    "process_start_time_seconds 2",
  ]);
  slis.reset();
  expect(await samplesOf(slis)).toEqual(["process_start_time_seconds 2"]);
});
