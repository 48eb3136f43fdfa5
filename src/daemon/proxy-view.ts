/** Gives observers a read-only view of the running proxy, computed on request. */
import type { Clock } from "../base/clock.ts";
import { SCRAPE_TIMEOUT_MS } from "../base/limits.ts";
import { TABLE_IDS, type TableName, tableKind } from "../model/tables.ts";
import { expose } from "../observe/exposition.ts";
import { scrapedInstruments } from "../observe/metrics.ts";
import { describeService } from "../observe/service-view.ts";
import type { Counts, ProxyView } from "../observe/view.ts";
import type { RunningProxy } from "./proxy.ts";

export interface ViewOptions {
  readonly proxy: RunningProxy;
  readonly version: string;
  readonly clock: Clock;
  /** All flags with their values, for /flagz. */
  readonly flags: { readonly [name: string]: string };
  /** The notices for the health response. */
  readonly notices: () => readonly string[];
}

export function createView(options: ViewOptions): ProxyView {
  const { proxy, version, clock, flags, notices } = options;
  const now = () => clock.now();
  const { core, inputs, source, telemetry, backend } = proxy;
  const { mode } = backend;
  const { health, problems, metrics, connections, fullFrontends } = telemetry;
  const counts = (): Counts => ({
    services: core.serviceCount(),
    slices: core.sliceCount(),
    endpoints: core.endpointCount(),
    elements: elementCounts(proxy),
    coreBytes: core.memoryBytes(),
    noLocalEndpoints: telemetry.noLocalEndpoints.counts(),
  });
  return {
    version,
    startedAt: telemetry.startedAt,
    now,
    config: () => proxy.config,
    mode,
    health: () => health.at(now()),
    // Without a control plane, a Node object may be missing, and nothing marks it for deletion.
    node: () => ({
      name: inputs.node.name,
      eligible: inputs.nodeSeen ? inputs.node.eligible : proxy.config.manifests !== "",
    }),
    sources: () => [source.status()],
    counts,
    lastSync: () => telemetry.lastSync,
    problems: () => problems.list(),
    unserved: () => backend.capabilities.unserved,
    notices,
    flags: () => flags,
    service: (namespace, name) => describeService(core, namespace, name, problems.list(), backend),
    async metrics() {
      const deadline = new Promise<void>((done) => clock.after(SCRAPE_TIMEOUT_MS, done));
      const { config } = proxy;
      if (backend.counters !== undefined) await connections.collect(backend.counters, deadline);
      fullFrontends.read();
      return expose(
        scrapedInstruments({
          metrics,
          connections,
          fullFrontends,
          config,
          version,
          startedAt: telemetry.startedAt,
          counts: counts(),
          problems: problems.list(),
          sources: [source.status()],
          healthy: health.at(now()).healthy,
          mode,
          restores: backend.chains?.statistics(),
        }),
      );
    },
  };
}

function elementCounts({ core }: RunningProxy): Counts["elements"] {
  const elements: { [table in TableName]?: number } = {};
  for (const id of TABLE_IDS) {
    const { name } = tableKind(id);
    elements[name] = (elements[name] ?? 0) + core.elementCount(id);
  }
  return elements;
}
