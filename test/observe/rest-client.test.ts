import { expect, test } from "bun:test";
import { expose } from "../../src/observe/exposition.ts";
import { RestClientMetrics } from "../../src/observe/rest-client.ts";

test("requests are counted by what became of them, whole answers measured in seconds", async () => {
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
