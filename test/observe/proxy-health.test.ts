import { expect, test } from "bun:test";
import { ProxyHealth } from "../../src/observe/proxy-health.ts";

const PERIOD = 30_000;

test("before the first commit the proxy is unhealthy, even if no change waits", () => {
  expect(new ProxyHealth(PERIOD).at(0)).toEqual({
    healthy: false,
    lastUpdated: undefined,
    queuedSince: undefined,
  });
});

test("while no change waits the proxy stays healthy, however old the last commit is", () => {
  const tracker = new ProxyHealth(PERIOD);
  tracker.committed(1000);
  expect(tracker.at(1e12)).toEqual({ healthy: true, lastUpdated: 1000, queuedSince: undefined });
});

test.each([
  ["just before twice the sync period", 2 * PERIOD - 1, true],
  ["at twice the sync period", 2 * PERIOD, false],
  ["after the clock was set back", -1e9, true],
])("a waiting change: %s", (_, wait, healthy) => {
  const tracker = new ProxyHealth(PERIOD);
  tracker.committed(1000);
  tracker.queued(5000);
  tracker.queued(5000 + PERIOD);
  expect(tracker.at(5000 + wait).healthy).toBe(healthy);
});

test("a commit ends the wait", () => {
  const tracker = new ProxyHealth(PERIOD);
  tracker.committed(0);
  tracker.queued(0);
  expect(tracker.at(1e6).healthy).toBe(false);
  tracker.committed(1e6);
  expect(tracker.at(2e6).healthy).toBe(true);
});

test("a commit before a change leaves that change waiting", () => {
  const tracker = new ProxyHealth(PERIOD);
  tracker.queued(0);
  tracker.committed(1000, 500);
  expect(tracker.at(500 + 2 * PERIOD)).toEqual({
    healthy: false,
    lastUpdated: 1000,
    queuedSince: 500,
  });
});

test("missing rules make the proxy unhealthy after 5 s, until a commit", () => {
  const tracker = new ProxyHealth(PERIOD);
  tracker.committed(0);
  tracker.rulesMissing(1000);
  tracker.rulesMissing(5000);
  expect(tracker.at(5999).healthy).toBe(true);
  expect(tracker.at(6000).healthy).toBe(false);
  tracker.committed(7000);
  expect(tracker.at(1e6).healthy).toBe(true);
});
