/**
 * /healthz and /livez as kube-proxy answers them on port 10256. Load balancers ask /healthz whether to send
 * new connections to this node, so it also says no while the node is going away; /livez is about the proxy.
 */
import type { Hono } from "hono";
import type { ReadOnlyView } from "../observe/view.ts";
import { createReadOnlyApp } from "./app.ts";

/** The paths of the health server, without their slash: label values of upstream's metrics. */
export type Probe = "healthz" | "livez";
type HealthView = Pick<ReadOnlyView, "now" | "health" | "node" | "sources">;

/**
 * The app of healthzBindAddress: 200 or 503, with upstream's JSON (pkg/proxy/healthcheck/proxy_health.go).
 * `onAnswer` hears the status of each; `onError` what a handler threw, which the client sees as 500.
 */
export function createHealthApp(
  view: HealthView,
  onAnswer: (probe: Probe, code: number) => void,
  onError: (error: unknown) => void,
): Hono {
  const app = createReadOnlyApp(["/healthz", "/livez"], onError);
  for (const probe of ["healthz", "livez"] as const) {
    app.get(`/${probe}`, (context) => {
      const { code, body } = answer(view, probe);
      onAnswer(probe, code);
      return context.body(body, code, { "Content-Type": "application/json" });
    });
  }
  return app;
}

/** Upstream's keys in upstream's order; `source` is ours, and there only while it does not answer. */
function answer(view: HealthView, probe: Probe): { code: 200 | 503; body: string } {
  const now = view.now();
  const { healthy, lastUpdated } = view.health();
  const { eligible } = view.node();
  const good = healthy && (probe === "livez" || eligible);
  const currentTime = new Date(now).toISOString();
  // As upstream: a good answer is as fresh as can be, a bad one says since when.
  const updated =
    lastUpdated === undefined ? ZERO_TIME : new Date(good ? now : lastUpdated).toISOString();
  const family = { lastUpdated: updated, healthy };
  const away = view.sources().find(({ connected }) => !connected);
  const body = JSON.stringify({
    lastUpdated: updated,
    currentTime,
    ...(probe === "healthz" && { nodeEligible: eligible }),
    healthy,
    status: { IPv4: family, IPv6: family },
    // No more than that: this port is open to the network, and an error's text names servers.
    ...(away && {
      source: {
        connected: false,
        lastEvent: away.lastEventAt === 0 ? ZERO_TIME : new Date(away.lastEventAt).toISOString(),
      },
    }),
  });
  return { code: good ? 200 : 503, body };
}

/** Go's zero time. */
const ZERO_TIME = "0001-01-01T00:00:00Z";
