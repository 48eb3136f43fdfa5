import { expect, test } from "bun:test";
import { expose } from "../../src/observe/exposition.ts";
import { Slis } from "../../src/observe/slis.ts";

async function text(slis: Slis): Promise<string[]> {
  const { body } = await expose(slis.instruments());
  return body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

test("checks are counted, until they are reset", async () => {
  const slis = new Slis(2000);
  slis.succeeded("ping", "healthz");
  slis.succeeded("ping", "healthz");
  expect(await text(slis)).toEqual([
    'kubernetes_healthcheck{name="ping",type="healthz"} 1',
    'kubernetes_healthchecks_total{name="ping",type="healthz",status="success"} 2',
    "process_start_time_seconds 2",
  ]);
  slis.reset();
  expect(await text(slis)).toEqual(["process_start_time_seconds 2"]);
});
