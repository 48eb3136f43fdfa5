/**
 * What kube-proxy shows on port 10249, to any method as it does; and beside it our own paths, unless they have an
 * address of their own.
 */
import type { Context, Hono, MiddlewareHandler } from "hono";
import type { Slis } from "../observe/component-metrics.ts";
import type { ReadOnlyView } from "../observe/view.ts";
import { addDebugRoutes, DEBUG_ROUTES } from "./debug-routes.ts";
import { createApp } from "./http-app.ts";
import { ownAddress } from "./listeners.ts";
import { addSluiceApi, SLUICE_ROUTES } from "./sluice-api.ts";
import { flagzOf, negotiated, statuszOf } from "./zpages.ts";

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
  readonly view: ReadOnlyView;
  readonly slis: Slis;
  /** The text of /metrics/slis. */
  readonly exposeSlis: () => Promise<{ readonly contentType: string; readonly body: string }>;
  /** PUT /debug/flags/v: the level of -v until the next change of the configuration. */
  readonly setVerbosity: (level: number) => void;
  /** Hears of what a handler threw; the client gets 500 and the message. */
  readonly onError: (error: unknown) => void;
}

/**
 * The app of metricsBindAddress (cmd/kube-proxy/app/server.go, serveMetrics). Where upstream shows the mode, it is
 * what serves, whatever was asked for. What the configuration decides is asked at each request.
 */
export function createMetricsApp(options: MetricsAppOptions): Hono {
  const { view, slis } = options;
  const hasOwn = () => ownAddress(view.config()) === "";
  const profiling = () => view.config().profiling;
  const routes = () => [
    ...ROUTES,
    ...(hasOwn() ? SLUICE_ROUTES : []),
    ...(profiling() ? DEBUG_ROUTES : []),
  ];
  const app = createApp(routes, options.onError);
  app.use("/sluice/*", only(hasOwn));
  app.use("/debug/*", only(profiling));

  // That the process answers, as upstream has it on this port; health is told on the other one.
  app.all("/healthz", (context) => ping(context, slis));
  app.all("/healthz/ping", (context) => context.text("ok"));

  app.all("/metrics", async (context) => printed(context, view, await view.metrics()));
  app.all("/metrics/slis", async (context) => {
    if (context.req.method === "DELETE") {
      slis.reset();
      return context.text("metrics reset\n");
    }
    return printed(context, view, await options.exposeSlis());
  });

  app.all("/configz", (context) => {
    const { document, ownDocument } = view.config();
    const shown = { ...document, mode: view.mode };
    return context.json({ "kubeproxy.config.k8s.io": shown, sluice: ownDocument });
  });
  app.all("/proxyMode", (context) => context.text(view.mode));
  app.all("/flagz", (context) => negotiated(context, "Flagz", flagzOf(view.flags())));
  app.all("/statusz", (context) => negotiated(context, "Statusz", statuszOf(view, routes())));

  addSluiceApi(app, view);
  addDebugRoutes(app, options.setVerbosity);
  return app;
}

/** The app of adminBindAddress: our own paths alone. */
export function createAdminApp(view: ReadOnlyView, onError: (error: unknown) => void): Hono {
  const app = createApp(() => SLUICE_ROUTES, onError);
  addSluiceApi(app, view);
  return app;
}

/** As if the paths were not there while they are not to be. */
function only(wanted: () => boolean): MiddlewareHandler {
  return async (context, next) => {
    if (!wanted()) return context.notFound();
    await next();
    return undefined;
  };
}

function printed(
  context: Context,
  view: ReadOnlyView,
  text: { readonly contentType: string; readonly body: string },
): Response {
  return context.body(text.body, 200, {
    "Content-Type": text.contentType,
    // As Go's handler has it, for clients that notice a restart by it.
    "Process-Start-Time-Unix": String(Math.floor(view.startedAt / 1000)),
  });
}

/** apiserver's healthz handler with its one check, ping, which never fails. */
function ping(context: Context, slis: Slis): Response {
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
