/** Compares docs/metrics.md with the code: it must list exactly the metrics that can be printed. */
import { expect, test } from "bun:test";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { viewWith } from "../../harness/fakes/fake-view.ts";
import { absentMetrics, documentedMetrics } from "../../harness/metrics/documented-metrics.ts";
import { ConnectionCounters } from "../../src/observe/connections.ts";
import { FullFrontends } from "../../src/observe/full-frontends.ts";
import type { Instrument } from "../../src/observe/instruments.ts";
import { Metrics, type ScrapeFacts, scrapedInstruments } from "../../src/observe/metrics.ts";
import { Committed } from "./fake-committed.ts";

const view = viewWith();
const metrics = new Metrics(0);
const scraped = (served: Pick<ScrapeFacts, "mode" | "restores">) =>
  scrapedInstruments({
    ...served,
    metrics,
    connections: new ConnectionCounters(new Committed(), 10, unexpectedError),
    fullFrontends: new FullFrontends({
      core: new Committed(),
      clock: new FakeClock(),
      problems: unexpectedError,
      failed: unexpectedError,
    }),
    config: view.config(),
    version: "1.2.3",
    startedAt: 0,
    counts: view.counts(),
    problems: view.problems(),
    sources: view.sources(),
    healthy: view.health().healthy,
  });
const nftables = scraped({ mode: "nftables", restores: undefined });
const iptables = scraped({ mode: "iptables", restores: [] });
const all = [...nftables, ...iptables];

function described(instruments: readonly Instrument[]) {
  return instruments.map(({ name, type, labels }) => ({ name, type, labels: [...labels] }));
}

test.each([
  ["nftables", nftables],
  ["iptables", iptables],
] as const)(
  "with %s exactly the printed metrics are documented, with types and labels",
  (served, found) => {
    const byName = <T extends { readonly name: string }>(list: readonly T[]) =>
      [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
    const documented = documentedMetrics("/metrics").flatMap(({ mode = served, ...rest }) =>
      mode === served ? [rest] : [],
    );
    expect(byName(documented)).toEqual(byName(described(found)));
  },
);

test("exactly the metrics of /metrics/slis are documented", () => {
  expect(documentedMetrics("/metrics/slis")).toEqual(described(metrics.slis.instruments()));
});

test("no metric is listed as missing", () => {
  const absent = absentMetrics();
  expect(absent).toContain("go_*");
  for (const { name } of all) {
    const fits = (pattern: string) =>
      pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
    expect(absent.filter(fits)).toEqual([]);
  }
});
