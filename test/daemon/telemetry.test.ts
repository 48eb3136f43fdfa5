import { expect, test } from "bun:test";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { resolveArgs } from "../../harness/resolve-config.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { createLogger } from "../../src/base/log.ts";
import type { Core } from "../../src/core/core.ts";
import { Telemetry } from "../../src/daemon/telemetry.ts";
import type { SyncReport } from "../../src/sync/loop.ts";

const { config } = await resolveArgs([]);
const DONE: SyncReport = {
  outcome: "done",
  owners: 1,
  operations: 4,
  added: 4,
  bytes: 400,
  transactions: 1,
  kernelMs: 0.1,
  durationMs: 0.2,
  triggerTimes: [],
  repair: undefined,
  error: undefined,
};
const FAILED: SyncReport = {
  ...DONE,
  outcome: "failed",
  operations: 0,
  added: 0,
  bytes: 0,
  transactions: 0,
  error: new SluiceError(
    "TOOL_FAILED",
    "iptables-restore: exit status 4: the xtables lock is held",
  ),
};

function createTelemetry(clock = new FakeClock()): Telemetry {
  const log = createLogger({
    verbosity: 0,
    format: "text",
    now: () => 0,
    write: () => {},
    pid: 1,
  });
  const core = { serviceCount: () => 1 } as Core;
  return new Telemetry({ config, core, clock, log });
}

test("a failed sync stays the last one until another has work to do", () => {
  const telemetry = createTelemetry();
  const last = () => telemetry.lastSync?.report;
  telemetry.synced(DONE);
  telemetry.synced(FAILED);
  expect(last()).toBe(FAILED);
  telemetry.synced({ ...DONE, outcome: "nothing" });
  expect(last()).toBe(FAILED);
  telemetry.synced(DONE);
  expect(last()).toBe(DONE);
});

test("a table of another program is a problem, and unhealthy after 5 s, until a sync works", async () => {
  const clock = new FakeClock();
  const telemetry = createTelemetry(clock);
  const healthy = () => telemetry.health.at(clock.now()).healthy;
  telemetry.synced(DONE);
  const error = new SluiceError(
    "TABLE_FOREIGN",
    "adopt table inet sluice: ...",
    "table inet sluice",
  );
  telemetry.synced({ ...FAILED, error });
  await clock.advance(5000);
  telemetry.synced({ ...FAILED, error });
  expect(healthy()).toBe(false);
  expect(telemetry.problems.list()).toMatchObject([
    { code: "TABLE_FOREIGN", subject: "table inet sluice", message: error.message },
  ]);
  telemetry.synced(DONE);
  expect([healthy(), telemetry.problems.list()]).toEqual([true, []]);
});
