/** Provides a view for tests: all healthy, one Service, one problem. Tests can replace any part. */
import type { ProxyView } from "../../src/observe/view.ts";
import { resolveArgs } from "../resolve-config.ts";

export const NOW = Date.UTC(2026, 10, 24, 11, 40, 0);
const { config } = await resolveArgs(["--cluster-cidr=10.0.0.0/8"]);

export function viewWith(parts: Partial<ProxyView> = {}): ProxyView {
  return {
    version: "0.2.0",
    startedAt: NOW - 60_000,
    now: () => NOW,
    config: () => config,
    mode: "nftables",
    health: () => ({ healthy: true, lastUpdated: NOW - 5000, queuedSince: undefined }),
    node: () => ({ name: "node-1", eligible: true }),
    sources: () => [
      {
        name: "https://api:6443",
        synced: true,
        connected: true,
        lastError: "",
        lastEventAt: NOW - 1000,
      },
    ],
    counts: () => ({
      services: 1,
      slices: 1,
      endpoints: 2,
      elements: { frontends: 1 },
      coreBytes: 65536,
      noLocalEndpoints: [],
    }),
    lastSync: () => ({
      at: NOW - 5000,
      report: {
        outcome: "done",
        owners: 1,
        operations: 4,
        added: 3,
        bytes: 400,
        transactions: 1,
        kernelMs: 0.1,
        durationMs: 0.5,
        triggerTimes: [],
        repair: undefined,
        error: undefined,
      },
    }),
    problems: () => [
      { subject: "Service default/web", code: "FRONTEND_TAKEN", field: "f", message: "taken" },
    ],
    unserved: () => [],
    notices: () => [],
    flags: () => ({ "config-sync-period": "15m0s", "cluster-cidr": "10.0.0.0/8" }),
    service: (namespace, name) =>
      `${namespace}/${name}` === "default/web"
        ? { namespace, name, exists: true, type: "ClusterIP", frontends: [], problems: [] }
        : undefined,
    metrics: async () => ({
      contentType: "text/plain; version=0.0.4",
      body: "sluice_services 1\n",
    }),
    ...parts,
  };
}
