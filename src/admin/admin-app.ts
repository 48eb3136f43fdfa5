/** What kube-proxy shows on port 10249, and beside it our own state as JSON. It owns nothing and changes nothing. */
import type { Hono } from "hono";
import type { ReadOnlyView } from "../observe/view.ts";
import { createReadOnlyApp } from "./app.ts";

const ROUTES = [
  "/healthz",
  "/metrics",
  "/configz",
  "/proxyMode",
  "/sluice/v1/state",
  "/sluice/v1/problems",
  "/sluice/v1/services/{namespace}/{name}",
];

/**
 * The app of metricsBindAddress. `/healthz`, `/metrics`, `/configz` and `/proxyMode` answer as upstream's (there
 * the mode is always nftables, whatever was asked for); times under /sluice/v1 are RFC 3339, null before the
 * first. `onError` hears of what a handler threw; the client gets 500 and the message.
 */
export function createAdminApp(view: ReadOnlyView, onError: (error: unknown) => void): Hono {
  const app = createReadOnlyApp(ROUTES, onError);

  // That the process answers, as upstream has it on this port; health is told on the other one.
  for (const path of ["/healthz", "/healthz/ping"]) {
    app.get(path, (context) =>
      context.text(
        context.req.query("verbose") === undefined ? "ok" : "[+]ping ok\nhealthz check passed\n",
      ),
    );
  }

  app.get("/metrics", async (context) => {
    const { contentType, body } = await view.metrics();
    return context.body(body, 200, { "Content-Type": contentType });
  });

  app.get("/configz", (context) => {
    const { document, ownDocument } = view.config();
    return context.json({ "kubeproxy.config.k8s.io": document, sluice: ownDocument });
  });

  app.get("/proxyMode", (context) => context.text("nftables"));

  app.get("/sluice/v1/state", (context) => context.json(stateOf(view)));

  app.get("/sluice/v1/problems", (context) => context.json({ problems: view.problems() }));

  app.get("/sluice/v1/services/:namespace/:name", (context) => {
    const { namespace, name } = context.req.param();
    const service = view.service(namespace, name);
    if (service) return context.json(service);
    return context.json({ error: `No Service ${namespace}/${name} is known` }, 404);
  });

  return app;
}

function stateOf(view: ReadOnlyView) {
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
          kernelMs: last.report.kernelMs,
          durationMs: last.report.durationMs,
          error: last.report.error?.message ?? null,
        }
      : null,
    counts: view.counts(),
    problems: view.problems().length,
  };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
