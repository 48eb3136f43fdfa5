/** Serves Sluice's state as JSON under /sluice/v1. It owns and changes nothing. */

import type { Hono } from "hono";
import { roundMs } from "../base/clock.ts";
import type { ProxyView } from "../observe/view.ts";
import { readOnly } from "./http-app.ts";

export const SLUICE_ROUTES = [
  "/sluice/v1/state",
  "/sluice/v1/problems",
  "/sluice/v1/services/{namespace}/{name}",
];

/** Adds the routes. Times are RFC 3339, or null if there is none yet. */
export function addSluiceApi(app: Hono, view: ProxyView): void {
  app.use("/sluice/*", readOnly);

  app.get("/sluice/v1/state", (context) => context.json(stateOf(view)));

  app.get("/sluice/v1/problems", (context) => context.json({ problems: view.problems() }));

  app.get("/sluice/v1/services/:namespace/:name", (context) => {
    const { namespace, name } = context.req.param();
    const service = view.service(namespace, name);
    if (service) return context.json(service);
    return context.json({ error: `Service ${namespace}/${name} not found` }, 404);
  });
}

function stateOf(view: ProxyView) {
  const { healthy, lastUpdated, queuedSince } = view.health();
  const last = view.lastSync();
  return {
    version: view.version,
    startedAt: timeOf(view.startedAt),
    now: timeOf(view.now()),
    node: view.node(),
    healthy,
    lastUpdated: lastUpdated === undefined ? null : timeOf(lastUpdated),
    queuedSince: queuedSince === undefined ? null : timeOf(queuedSince),
    sources: view.sources().map((source) => ({
      ...source,
      lastEventAt: source.lastEventAt === 0 ? null : timeOf(source.lastEventAt),
    })),
    lastSync: last
      ? {
          at: timeOf(last.at),
          outcome: last.report.outcome,
          owners: last.report.owners,
          operations: last.report.operations,
          transactions: last.report.transactions,
          bytes: last.report.bytes,
          kernelMs: roundMs(last.report.kernelMs),
          durationMs: roundMs(last.report.durationMs),
          error: last.report.error?.message ?? null,
        }
      : null,
    counts: view.counts(),
    problems: view.problems().length,
    notices: view.notices(),
  };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
