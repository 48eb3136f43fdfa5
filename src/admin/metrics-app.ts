/**
 * Serves what kube-proxy serves on port 10249, for any method as it does. It also serves our own
 * paths, unless they have a separate address.
 */
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Context, Hono, MiddlewareHandler } from "hono";
import type { SliMetrics } from "../observe/component-metrics.ts";
import type { ProxyView } from "../observe/view.ts";
import { prefersGzip } from "./content-encoding.ts";
import { addDebugRoutes, DEBUG_ROUTES } from "./debug-routes.ts";
import { createApp } from "./http-app.ts";
import { separateAdminAddress } from "./listeners.ts";
import { addSluiceApi, SLUICE_ROUTES } from "./sluice-api.ts";
import { flagzPage, respondNegotiated, statuszPage } from "./zpages.ts";

/** Compresses in another thread. */
const compress = promisify(gzip);

const ROUTES = [
  "/configz",
  "/flagz",
  "/healthz",
  "/healthz/ping",
  "/metrics",
  "/metrics/slis",
  "/proxyMode",
  "/statusz",
];

export interface MetricsAppOptions {
  readonly view: ProxyView;
  readonly slis: SliMetrics;
  /** Returns the text of /metrics/slis. */
  readonly exposeSlis: () => Promise<{ readonly contentType: string; readonly body: string }>;
  /** Handles PUT /debug/flags/v: sets the level of -v until the configuration changes. */
  readonly setVerbosity: (level: number) => void;
  /** Receives what a handler threw. The client gets 500 and the message. */
  readonly onError: (error: unknown) => void;
}

/**
 * Creates the app of metricsBindAddress (cmd/kube-proxy/app/server.go, serveMetrics). The mode it
 * shows is the active one, not the configured one. Configuration is read at each request.
 */
export function createMetricsApp(options: MetricsAppOptions): Hono {
  const { view, slis } = options;
  const hasOwn = () => separateAdminAddress(view.config()) === "";
  const profiling = () => view.config().profiling;
  const routes = () => [
    ...ROUTES,
    ...(hasOwn() ? SLUICE_ROUTES : []),
    ...(profiling() ? DEBUG_ROUTES : []),
  ];
  const app = createApp(routes, options.onError);
  app.use("/sluice/*", onlyIf(hasOwn));
  app.use("/debug/*", onlyIf(profiling));

  // As in kube-proxy, this port only shows that the process answers. The other port reports health.
  app.all("/healthz", (context) => ping(context, slis));
  app.all("/healthz/ping", (context) => context.text("ok"));

  app.all("/metrics", async (context) => sendExposition(context, view, await view.metrics()));
  app.all("/metrics/slis", async (context) => {
    if (context.req.method === "DELETE") {
      slis.reset();
      return context.text("metrics reset\n");
    }
    return sendExposition(context, view, await options.exposeSlis());
  });

  app.all("/configz", (context) => {
    const { document, ownDocument } = view.config();
    const shown = { ...document, mode: view.mode };
    return context.json({ "kubeproxy.config.k8s.io": shown, sluice: ownDocument });
  });
  app.all("/proxyMode", (context) => context.text(view.mode));
  app.all("/flagz", (context) => respondNegotiated(context, "Flagz", flagzPage(view.flags())));
  app.all("/statusz", (context) =>
    respondNegotiated(context, "Statusz", statuszPage(view, routes())),
  );

  addSluiceApi(app, view);
  addDebugRoutes(app, options.setVerbosity);
  return app;
}

/** Creates the app of adminBindAddress, which serves only our own paths. */
export function createAdminApp(view: ProxyView, onError: (error: unknown) => void): Hono {
  const app = createApp(() => SLUICE_ROUTES, onError);
  addSluiceApi(app, view);
  return app;
}

/** Returns a middleware that answers 404 while the paths are disabled. */
function onlyIf(isEnabled: () => boolean): MiddlewareHandler {
  return async (context, next) => {
    if (!isEnabled()) return context.notFound();
    await next();
    return undefined;
  };
}

async function sendExposition(
  context: Context,
  view: ProxyView,
  text: { readonly contentType: string; readonly body: string },
): Promise<Response> {
  const headers = {
    "Content-Type": text.contentType,
    // Like Go's handler, for clients that use it to detect a restart.
    "Process-Start-Time-Unix": String(Math.floor(view.startedAt / 1000)),
  };
  if (!prefersGzip(context.req.header("Accept-Encoding"))) {
    return context.body(text.body, 200, headers);
  }
  const packed = Uint8Array.from(await compress(text.body));
  return context.body(packed, 200, { ...headers, "Content-Encoding": "gzip" });
}

/** Answers like apiserver's healthz handler. The only check is ping, which never fails. */
function ping(context: Context, slis: SliMetrics): Response {
  const excluded = new Set(context.req.queries("exclude") ?? []);
  const excluding = excluded.delete("ping");
  if (!excluding) slis.succeeded("ping", "healthz");
  if (context.req.query("verbose") === undefined) return context.text("ok");
  const unknown = [...excluded].sort().map((name) => JSON.stringify(name));
  const warning =
    unknown.length === 0
      ? ""
      : `warn: some health checks cannot be excluded: no matches for ${unknown.join(",")}\n`;
  return context.text(
    `[+]ping ${excluding ? "excluded: " : ""}ok\n${warning}healthz check passed\n`,
  );
}
